// TimedCalls: a process of the test's own with many threads that make one call over and over and note how long each
// took, by the clock of that process alone. What it notes lies in memory that the test sees: nothing has to be asked of
// it while its calls wait.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace chaos::test {

class TimedCalls {
 public:
  static constexpr int kMostThreads = 64;
  TimedCalls();
  ~TimedCalls();
  TimedCalls(const TimedCalls&) = delete;
  TimedCalls& operator=(const TimedCalls&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// So many threads begin to make this call: openat, connect, fsync, pwrite64, or pause (nanosleep(2) of `pause_us`).
  /// `limit`: of calls, by all of them.
  void begin(const std::string& call, int threads, int pause_us = 0, int limit = 0x7fffffff);
  /// They stop, each when its call is over; waits for that.
  void stop();
  /// begin(), until there are so many, stop(): what each took, in ms, and no more of them.
  [[nodiscard]] std::vector<double> take(const std::string& call, int count, int pause_us = 0);

  /// Calls that are over, of one thread.
  [[nodiscard]] std::uint64_t done(int thread) const { return page_->threads[thread].done.load(); }
  /// CPU time of the process so far, in seconds.
  [[nodiscard]] static double cpu_seconds(pid_t process);
  /// For how long the thread's present call has been going on, in ms; 0: in none.
  [[nodiscard]] double in_call_ms(int thread) const;
  /// How often a thread of the process that makes no such calls has come round since the last begin(), and its longest
  /// pause.
  [[nodiscard]] std::uint64_t rounds() const { return page_->rounds.load(); }
  [[nodiscard]] double longest_pause_ms() const { return static_cast<double>(page_->longest_pause_us.load()) / 1000; }

 private:
  struct Page {
    std::atomic<int> ready;
    std::atomic<std::uint32_t> order;  ///< another number with each change of what follows
    std::atomic<std::uint32_t> call;   ///< index of the name, from 1; 0: none
    std::atomic<int> active;
    std::atomic<int> pause_us;
    std::atomic<std::uint64_t> rounds;
    std::atomic<std::uint64_t> longest_pause_us;
    std::atomic<std::uint32_t> limit;  ///< of calls
    std::atomic<std::uint32_t> begun;
    std::atomic<std::uint32_t> places;
    std::atomic<std::uint32_t> noted;
    struct Thread {
      std::atomic<std::uint64_t> done;
      std::atomic<std::uint64_t> began_ns;
    } threads[kMostThreads];
    std::atomic<std::uint32_t> took_us[1 << 14];
  };
  [[noreturn]] void live(const std::string& dir);
  void work(int thread, const std::string& dir);
  void go_round();

  TempDir dir_;
  Page* page_;
  pid_t pid_ = -1;
};

}  // namespace chaos::test
