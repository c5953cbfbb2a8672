#include "line/own_cpu.h"

#include <array>
#include <mutex>

namespace chaos {
namespace {

/// How many lines are on each CPU.
struct Shares {
  std::mutex mutex;
  std::array<unsigned, CPU_SETSIZE> lines{};
};

Shares& shares() {
  static Shares all;
  return all;
}

}  // namespace

OwnCpu::OwnCpu() {
  const int here = ::sched_getcpu();
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (here < 0 || here >= CPU_SETSIZE || ::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  Shares& all = shares();
  const std::scoped_lock lock(all.mutex);
  auto best = static_cast<unsigned>(here);
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && all.lines.at(cpu) < all.lines.at(best)) best = cpu;
  }
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(best, &own);
  if (::sched_setaffinity(0, sizeof(own), &own) != 0) return;
  cpu_ = static_cast<int>(best);
  ++all.lines.at(best);
}

OwnCpu::~OwnCpu() {
  if (cpu_ < 0) return;
  Shares& all = shares();
  const std::scoped_lock lock(all.mutex);
  --all.lines.at(static_cast<unsigned>(cpu_));
}

}  // namespace chaos
