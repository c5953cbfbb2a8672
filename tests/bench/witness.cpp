#include "bench/witness.h"

#include <sched.h>

#include <algorithm>

#include "bench/harness.h"

namespace chaos::bench {
namespace {

constexpr std::chrono::microseconds kInterval{250};

}  // namespace

Witness::Witness() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  (void)sched_getaffinity(0, sizeof(allowed), &allowed);
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus_.push_back({.number = cpu});
  }
  for (Cpu& cpu : cpus_) cpu.thread = std::thread([this, &cpu] { watch(cpu); });
}

Witness::~Witness() { (void)finish(); }

void Witness::watch(Cpu& cpu) const {
  cpu_set_t own;
  CPU_ZERO(&own);
  CPU_SET(cpu.number, &own);
  (void)sched_setaffinity(0, sizeof(own), &own);
  be_punctual();
  for (TimePoint last = std::chrono::steady_clock::now(); !stop_.load(std::memory_order_relaxed);) {
    std::this_thread::sleep_for(kInterval);
    const TimePoint now = std::chrono::steady_clock::now();
    if (now - last >= kHeld) cpu.held.push_back({.from = last, .to = now});
    last = now;
  }
}

std::vector<Witness::Interval> Witness::finish() {
  stop_.store(true);
  std::vector<Interval> held;
  for (Cpu& cpu : cpus_) {
    if (!cpu.thread.joinable()) continue;
    cpu.thread.join();
    held.insert(held.end(), cpu.held.begin(), cpu.held.end());
  }
  return held;
}

std::chrono::nanoseconds held_time(std::vector<Witness::Interval> intervals, Witness::TimePoint from,
                                   Witness::TimePoint to) {
  std::ranges::sort(intervals, {}, &Witness::Interval::from);
  std::chrono::nanoseconds held{0};
  Witness::TimePoint counted = from;
  for (const Witness::Interval& interval : intervals) {
    const Witness::TimePoint begin = std::max(counted, interval.from);
    const Witness::TimePoint end = std::min(to, interval.to);
    if (end <= begin) continue;
    held += end - begin;
    counted = end;
  }
  return held;
}

}  // namespace chaos::bench
