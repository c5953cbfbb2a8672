// Burners: threads that use CPU time, each a share of one CPU, in slices of at most 10 ms. They go on to the end of the
// process.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include "base/result.h"

namespace chaos {

class Burners {
 public:
  Burners() = default;
  Burners(const Burners&) = delete;
  Burners& operator=(const Burners&) = delete;

  /// One more thread, idle until it has a share; `cpu`: bound to that one. Error: kRefused if it may not run there.
  Status add(std::optional<unsigned> cpu);
  [[nodiscard]] std::size_t count() const { return all_.size(); }
  /// 0 to 1. Takes effect within 10 ms.
  void set_share(std::size_t index, double share) { all_[index].share.store(share); }
  /// CPU time that it has used so far.
  [[nodiscard]] std::chrono::nanoseconds used(std::size_t index) const {
    return std::chrono::nanoseconds(all_[index].used_ns.load());
  }

 private:
  struct Burner {
    std::atomic<double> share{0};
    std::atomic<std::int64_t> used_ns{0};
  };
  static void burn(Burner& burner, unsigned seed);
  std::deque<Burner> all_;  ///< stays where it is
};

}  // namespace chaos
