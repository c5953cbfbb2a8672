// OwnCpu: keeps a line's thread on one CPU while it is there. What a write sends to a device may lie in the backlog of
// the CPU that wrote it: from another CPU the next packet of the flow could get past it. Lines share the process's CPUs
// out among themselves, so that two of them meet on one only where there are more lines than CPUs.
#pragma once

#include <sched.h>

namespace chaos {

class OwnCpu {
 public:
  /// Where the calling thread runs, unless another line is there and not everywhere: then on the CPU of its own with
  /// the fewest. Without the right to (a CPU that went meanwhile) the thread stays as free as it was.
  OwnCpu();
  /// Makes room. The calling thread stays where it is: it is about to end.
  ~OwnCpu();
  OwnCpu(const OwnCpu&) = delete;
  OwnCpu& operator=(const OwnCpu&) = delete;

  /// -1: none.
  [[nodiscard]] int number() const { return cpu_; }

 private:
  int cpu_ = -1;
};

}  // namespace chaos
