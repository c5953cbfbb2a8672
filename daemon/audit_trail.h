// AuditTrail: what chaosd does without a client asking, put on record as clients' requests are: scenarios that end by
// themselves, signals. Also copies every row to the journal, and keeps trying while the log cannot be written. Loop
// thread, but for the copies.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "plan/scenario.h"
#include "store/recorder.h"

namespace chaos {

class AuditTrail {
 public:
  /// Both must outlive it. `identifier`: of the daemon in the journal. Before anything is recorded.
  static Result<std::unique_ptr<AuditTrail>> create(EventLoop& loop, Recorder& recorder, std::string identifier);

  /// To be told of every change of a scenario. Records `scenario_ended` for an end that no client asked for: all but
  /// `stopped` and `emergency_stop`, and these too if caused() has named the scenario.
  void on_change(const Scenario& scenario);
  /// These end because of `why` ("SIGTERM"), not because a client wants it.
  void caused(const std::vector<std::string>& ids, std::string_view why);
  /// `scenario_ended` for what the last chaosd has left behind.
  void adopted(const std::vector<std::string>& ids, std::string_view why);
  /// `emergency_stop` by a signal; `ids` are those that it ended.
  void emergency_stop(const std::vector<std::string>& ids, std::string_view why);
  /// `undone`: a change of the last chaosd's that its guardian, an operator or this start has settled.
  void undone(std::string_view what, bool failed);
  /// `reload_config` by a signal.
  void reloaded(const Status& outcome, std::string_view why);

 private:
  AuditTrail(EventLoop& loop, Recorder& recorder) : loop_(loop), recorder_(recorder) {}
  void watch();

  EventLoop& loop_;
  Recorder& recorder_;
  EventLoop::SourcePtr watch_;
  std::map<std::string, std::string, std::less<>> causes_;  ///< by id, until the scenario has ended
};

}  // namespace chaos
