// TargetWatch: looks after what active scenarios are aimed at, four times a second while there are any: ends those
// whose target is gone, brings those that are narrowed to sockets to where their target is now, and keeps what is
// protected up to date. Loop thread; what blocks runs on the worker.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/worker.h"
#include "fault/following.h"
#include "fault/injector.h"

namespace chaos {

class TargetWatch {
 public:
  /// All on the loop thread, by a scenario's id; they may call remove().
  struct Reports {
    std::function<void(const std::string& id, const std::string& detail)> gone;
    std::function<void(const std::string& id, const std::string& warning)> warn;
    std::function<void(const std::string& id, const std::string& why)> failed;  ///< it does not act any more
  };
  /// All must outlive it, and so must it what it has posted to the worker.
  TargetWatch(EventLoop& loop, Worker& worker, Injector& injector, Reports reports);

  /// Takes effect with the next look.
  void set_services(const ServiceConfigs& services) { services_ = std::make_shared<const ServiceConfigs>(services); }
  /// Looks at once. `follow`: it is narrowed to sockets.
  void add(Followed scenario, bool follow);
  void remove(const std::string& id) { entries_.erase(id); }

 private:
  struct Entry {
    Followed followed;
    bool follow = false;
    std::optional<std::chrono::steady_clock::time_point> away_since;  ///< its target does not run
  };
  void look();
  void look_at_interfaces();
  void follow();
  void looked(const std::vector<Sighting>& sightings, std::chrono::steady_clock::duration took);
  void seen(const Sighting& sighting);

  EventLoop& loop_;
  Worker& worker_;
  Injector& injector_;
  Reports reports_;
  std::shared_ptr<const ServiceConfigs> services_;  ///< shared with looks in the making
  std::map<std::string, Entry> entries_;            ///< active scenarios by id
  EventLoop::SourcePtr timer_;
  bool following_ = false;                                ///< the worker is at it
  std::chrono::steady_clock::time_point follow_after_{};  ///< a look at a large host is not taken more often than this
};

}  // namespace chaos
