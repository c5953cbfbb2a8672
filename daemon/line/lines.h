// Lines: the delay lines of one chaosd: which faults hold packets, in which network namespaces, and the line that each
// of those has while a fault needs it. Worker thread, but for figures(): any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "line/delay_line.h"
#include "line/line_fault.h"

namespace chaos {

class Lines {
 public:
  /// `maps` must outlive it. `classic`: by clsact, for kernels without tcx.
  Lines(const SharedMaps& maps, std::string tag, bool classic);

  /// A fault that holds packets, from here to leave().
  void prepare(unsigned fault, std::shared_ptr<LineFault> what);
  [[nodiscard]] bool holds(unsigned fault) const;
  struct Place {
    std::uint16_t number = 0;
    unsigned ifindex = 0;
  };
  /// The line of a namespace, which is the calling thread's, for this fault. Made if there is none. Errors: kRefused
  /// (CHAOS_MAX_LINES), kUnsupported, kInternal.
  Result<Place> join(unsigned fault, const Netns& netns);
  /// The fault begins now.
  void start(unsigned fault);
  /// The classifier hands over no more of it: lets its packets go, or discards them. Blocks.
  void end(unsigned fault, bool discard);
  /// When nothing leads to its lines any more: those that no other fault needs end. The namespaces that they were in.
  std::vector<std::uint64_t> leave(unsigned fault);

  /// Null if it holds nothing.
  [[nodiscard]] std::shared_ptr<const LineFault> figures(unsigned fault) const;

  /// What it accounts for, for residue: links, programs, maps, names of devices.
  struct Objects {
    std::vector<std::uint32_t> links, programs, maps;
    std::vector<std::string> devices;
  };
  [[nodiscard]] Objects objects() const;

 private:
  struct Entry {
    std::unique_ptr<DelayLine> line;
    std::set<unsigned> faults;
  };
  const SharedMaps& maps_;
  const std::string tag_;
  const bool classic_;
  LineMemory memory_;
  mutable std::mutex mutex_;  ///< faults_, lines_
  std::array<std::shared_ptr<LineFault>, CHAOS_MAX_FAULTS> faults_{};
  std::map<std::uint64_t, Entry> lines_;  ///< by namespace
};

}  // namespace chaos
