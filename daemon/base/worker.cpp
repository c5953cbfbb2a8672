#include "base/worker.h"

#include <pthread.h>

#include <utility>

namespace chaos {

Worker::Worker(std::string name) : thread_([this] { run(); }) {
  constexpr std::size_t kMaxComm = 15;
  ::pthread_setname_np(thread_.native_handle(), name.substr(0, kMaxComm).c_str());
}

Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Worker::post(std::move_only_function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

std::size_t Worker::pending() const {
  const std::lock_guard lock(mutex_);
  return jobs_.size() + (busy_ ? 1 : 0);
}

void Worker::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    lock.unlock();
    job();
    job = nullptr;  // what the job captured goes before it counts as done
    lock.lock();
    busy_ = false;
  }
}

}  // namespace chaos
