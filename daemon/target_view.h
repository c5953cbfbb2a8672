// TargetView: looks where the targets of active scenarios are, once a second while there are any, for those who
// measure them. Loop thread; the look itself runs on the worker.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/worker.h"
#include "config/config.h"
#include "plan/scenario.h"
#include "plan/target_state.h"

namespace chaos {

class TargetView {
 public:
  using Observer = std::function<void(std::vector<TargetState>)>;
  /// Both must outlive it. `seen`: on the loop thread; with none when the last has ended.
  TargetView(EventLoop& loop, Worker& worker, Observer seen);

  void configure(const Config& config);
  /// Of every change of a scenario's record.
  void on_change(const Scenario& scenario);

 private:
  void look();

  EventLoop& loop_;
  Worker& worker_;
  Observer seen_;
  ServiceConfigs services_;
  std::map<std::string, ScenarioRequest> active_;
  bool looking_ = false;
  EventLoop::SourcePtr timer_;
};

}  // namespace chaos
