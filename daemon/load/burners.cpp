#include "load/burners.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <system_error>
#include <thread>

namespace chaos {
namespace {

using std::chrono::nanoseconds;

/// Of different length, so that they keep no step with the kernel's ticks, by which CPU time is told on many kernels.
constexpr std::int64_t kShortestSlice = 5'000'000;
constexpr std::int64_t kLongestSlice = 10'000'000;

std::int64_t read_clock(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

/// Some ten microseconds of work that no compiler takes away.
void work() {
  std::uint64_t value = 1;
  for (int i = 0; i < 10'000; ++i) {
    value = value * 6364136223846793005ULL + 1442695040888963407ULL;
    asm volatile("" : "+r"(value));
  }
}

}  // namespace

void Burners::burn(Burner& burner, unsigned seed) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  std::minstd_rand random(seed + 1);
  std::uniform_int_distribution<std::int64_t> length(kShortestSlice, kLongestSlice);
  std::int64_t wanted = read_clock(CLOCK_THREAD_CPUTIME_ID);
  for (std::int64_t begin = read_clock(CLOCK_MONOTONIC);;) {
    const std::int64_t slice = length(random);
    std::int64_t used = read_clock(CLOCK_THREAD_CPUTIME_ID);
    wanted += static_cast<std::int64_t>(burner.share.load() * static_cast<double>(slice));
    // What a busy CPU did not give is not made good later: that would be more than was asked for then.
    wanted = std::clamp(wanted, used - slice, used + slice);
    while (used < wanted && read_clock(CLOCK_MONOTONIC) - begin < slice) {
      work();
      used = read_clock(CLOCK_THREAD_CPUTIME_ID);
    }
    burner.used_ns.store(used);
    begin += slice;
    const std::int64_t now = read_clock(CLOCK_MONOTONIC);
    if (now >= begin) {
      begin = now;
      continue;
    }
    const timespec until{begin / 1'000'000'000, begin % 1'000'000'000};
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    begin = std::max(begin, read_clock(CLOCK_MONOTONIC));
  }
}

Status Burners::add(std::optional<unsigned> cpu) {
  Burner& burner = all_.emplace_back();
  try {
    std::thread thread([&burner, seed = static_cast<unsigned>(all_.size())] { burn(burner, seed); });
    int error = 0;
    if (cpu) {
      cpu_set_t only;
      CPU_ZERO(&only);
      CPU_SET(*cpu, &only);
      error = ::pthread_setaffinity_np(thread.native_handle(), sizeof only, &only);
    }
    thread.detach();
    if (error == 0) return {};
    return fail(Errc::kRefused, fmt::format("no thread may run on CPU {} here", *cpu), "parameters.cpus",
                "CPUs that the target may use", "see cpuset.cpus.effective, /sys/devices/system/cpu/online");
  } catch (const std::system_error& error) {
    return fail(Errc::kInternal, std::string("start a thread: ") + error.what());
  }
}

}  // namespace chaos
