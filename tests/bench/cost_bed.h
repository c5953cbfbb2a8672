// CostBed: the classifier in the state that each cost case needs, run by BPF_PROG_TEST_RUN. Every case has a slot and
// faults of its own in one set of maps, so that one program image serves them all. Nothing is attached. Needs root;
// throws std::runtime_error. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "bench/frames.h"
#include "kernel/classifier.h"
#include "kernel/packet_programs.h"
#include "kernel/shared_maps.h"

namespace chaos::bench {

/// What must become of every packet of a case.
enum class Outcome { kNothingOnSlot, kNoMatch, kNotSampled, kInjected, kProtected };

/// One fault of a case; `threshold` as in chaos_fault.
struct CostFault {
  ClassifierRule rule;
  std::uint64_t threshold = 0;
};

struct CostCase {
  std::string key;
  std::string name;
  FrameSpec frame;
  std::vector<CostFault> faults;  ///< of the case's slot; the last one decides the outcome
  Outcome outcome = Outcome::kNoMatch;
  double limit_ns = 0;       ///< the requirement; 0: none
  bool all_on_slot = false;  ///< all CHAOS_MAX_FAULTS faults of the bed are on this case's slot
};

class CostBed {
 public:
  /// Reserves faults and slots for `cases`; free faults get a rule for a port of their own that no frame uses.
  explicit CostBed(const std::vector<CostCase>& cases);

  /// Mean ns a packet of `repeat` runs, through the entry program and its tail call or, if `direct`, of the classifier
  /// alone. Throws if a packet did not have the case's outcome.
  double run(std::size_t number, std::uint32_t repeat, bool direct) const;
  /// The same for a program that does nothing; `copy` 0 or 1 are two images of it.
  [[nodiscard]] double run_empty(std::size_t copy, std::uint32_t repeat) const;

 private:
  struct Prepared {
    std::string name;
    Outcome outcome;
    std::vector<std::uint8_t> frame;
    unsigned fault;  ///< whose counters tell the outcome
    UniqueFd entry;
  };
  unsigned add_fault(const CostFault& fault);
  void fill_up();
  [[nodiscard]] std::uint64_t outcome_count(const Prepared& prepared, unsigned slot) const;

  SharedMaps maps_;
  PacketPrograms programs_;
  Classifier classifier_;
  UniqueFd empty_[2];
  unsigned used_ = 0;
  std::vector<Prepared> cases_;
};

}  // namespace chaos::bench
