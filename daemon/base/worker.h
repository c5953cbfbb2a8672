// Worker: one thread that runs jobs in order, for work that must not block the loop (links, disk). Jobs are posted
// from any thread; the destructor runs what is queued and joins.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace chaos {

class Worker {
 public:
  /// `name` is the thread's comm (15 bytes at most).
  explicit Worker(std::string name);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(std::move_only_function<void()> job);
  /// Jobs waiting or running.
  [[nodiscard]] std::size_t pending() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::move_only_function<void()>> jobs_;
  bool stopping_ = false;
  bool busy_ = false;
  std::thread thread_;
};

}  // namespace chaos
