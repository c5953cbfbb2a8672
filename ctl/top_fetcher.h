// TopFetcher: asks the daemon again and again, on a thread of its own, so that keys are answered while the daemon is
// not. Public functions: the thread that made it. No call blocks for longer than giving up a request takes.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "ctl/top_sample.h"

namespace chaos::ctl {

class TopFetcher {
 public:
  /// The first sample comes after one interval: whoever makes this has one.
  TopFetcher(std::string socket, TopQuestions questions);
  ~TopFetcher();
  TopFetcher(const TopFetcher&) = delete;
  TopFetcher& operator=(const TopFetcher&) = delete;

  /// Readable when there is a sample to take.
  [[nodiscard]] int fd() const { return ready_.get(); }
  [[nodiscard]] std::optional<TopSample> take();
  /// From now on this, and at once; nothing while paused.
  void ask(const TopQuestions& questions, bool paused);

 private:
  void run();
  /// False: it is over.
  bool wait_until_due();

  std::string socket_;
  UniqueFd ready_;
  UniqueFd give_up_;  ///< ends the request that is under way
  std::mutex mutex_;
  std::condition_variable changed_;
  TopQuestions questions_;
  bool paused_ = false;
  bool at_once_ = false;
  bool over_ = false;
  bool lost_ = false;
  std::optional<TopSample> sample_;
  std::thread thread_;
};

}  // namespace chaos::ctl
