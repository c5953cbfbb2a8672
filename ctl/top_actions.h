// TopActions: what chaosctl top does for its user: stops a fault, pulls the brake. Each on a thread of its own, so that
// a stop that takes its time does not keep the brake waiting. Public functions: the thread that made it.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "ctl/top_view.h"

namespace chaos::ctl {

class TopActions {
 public:
  /// `advice`: the command for an emergency stop, for who may not do it here.
  TopActions(std::string socket, std::string advice);
  /// As finish().
  ~TopActions();
  TopActions(const TopActions&) = delete;
  TopActions& operator=(const TopActions&) = delete;

  /// Readable when there is something to tell.
  [[nodiscard]] int fd() const { return ready_.get(); }
  /// How the actions have ended since the last call, oldest first.
  [[nodiscard]] std::vector<TopNotice> take();
  void stop(const std::string& id);
  void emergency_stop();
  /// Waits for the end of an emergency stop; a stop that was asked for goes on without us.
  void finish();

 private:
  void run(std::function<TopNotice()> action);

  std::string socket_;
  std::string advice_;
  UniqueFd ready_;
  UniqueFd give_up_;
  std::mutex mutex_;
  std::vector<TopNotice> notices_;
  std::list<std::thread> threads_;
};

}  // namespace chaos::ctl
