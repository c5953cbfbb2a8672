// LinePrograms: the two programs on the TAP of one delay line (bpf/line.bpf.c). They go with the TAP or with the
// object. Needs CAP_BPF and CAP_NET_ADMIN. Worker thread, in the TAP's network namespace.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "kernel/shared_maps.h"

namespace chaos {

class LinePrograms {
 public:
  /// On the TAP `ifindex`, of line `number`. `classic`: by clsact, for kernels without tcx. Errors: kInternal.
  static Result<LinePrograms> attach(const SharedMaps& maps, unsigned number, unsigned ifindex, bool classic);
  LinePrograms(LinePrograms&&) noexcept;
  LinePrograms& operator=(LinePrograms&&) noexcept;
  ~LinePrograms();

  /// Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const;

 private:
  struct Impl;
  explicit LinePrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace chaos
