// emergency-stop: by the daemon if it answers within a second, else by chaosctl's own brake (brake.h).
#include "ctl/emergency.h"

#include <unistd.h>

#include "ctl/brake_call.h"
#include "ctl/brake_front.h"
#include "ctl/command.h"
#include "ctl/json_text.h"
#include "kernel/proc_tree.h"

namespace chaos::ctl {
namespace {

constexpr std::chrono::milliseconds kPatience{1000};

struct EmergencyOptions {
  std::string reason{kBrakeReason};
  std::string runtime_dir;
  std::string state_dir;
};

void emergency_options(CLI::App& app, EmergencyOptions& options) {
  app.add_option("--reason", options.reason, "Why, for the record")->capture_default_str();
  app.add_option("--runtime-dir", options.runtime_dir,
                 "If the daemon does not answer: its runtime directory (default: the socket's)")
      ->type_name("DIR");
  app.add_option(
         "--state-dir", options.state_dir,
         "If the daemon does not answer: its state directory (default: as it was started with, or /var/lib/chaosd)")
      ->type_name("DIR");
}

Json brake_json(const BrakeReport& report) {
  Json steps = Json::array();
  bool latched = false;
  for (const BrakeStep& step : report.steps) {
    steps.push_back({{"step", step.step}, {"done", step.done}, {"detail", step.detail}});
    latched = latched || (step.step == "latch" && step.done);
  }
  Json document{{"stopped", Json::array()}, {"latched", latched}, {"by", "chaosctl"}, {"steps", std::move(steps)}};
  document["killed_pid"] = report.killed ? Json(*report.killed) : Json(nullptr);
  return document;
}

Exit print_brake(const Context& context, const BrakeReport& report) {
  const bool good = report.stopped && report.held;
  if (context.json()) {
    context.print_json(brake_json(report));
    return good ? Exit::kDone : Exit::kFailed;
  }
  Table table({"", "", ""});
  for (const BrakeStep& step : report.steps) {
    table.add({{step.step}, {step.done ? "done" : "FAILED", step.done ? Colour::kGreen : Colour::kRed}, {step.detail}});
  }
  context.print(table);
  if (good) {
    context.out << "Emergency stop done. After the next start of chaosd, " << printable(context.advice("rearm"))
                << " lifts it.\n";
  } else {
    context.out << context.paint("The emergency stop is NOT complete; see the steps that failed.", Colour::kRed)
                << '\n';
  }
  return good ? Exit::kDone : Exit::kFailed;
}

/// Stopped by a signal or a debugger: it cannot answer, so there is nothing to wait for.
bool cannot_answer(const BrakeScope& scope) {
  const auto daemon = find_daemon(scope.runtime_dir, scope.socket);
  const auto stat = daemon ? proc::process_stat("/proc", daemon->pid) : std::nullopt;
  return stat && (stat->state == 'T' || stat->state == 't');
}

Outcome<EmergencyStop> by_force(const BrakeScope& scope, const Problem& why, const EmergencyHooks& hooks) {
  const std::string detail = text_of(why.document, "detail");
  if (::geteuid() != 0) {
    return problem(Errc::kDenied, "the daemon did not do it (" + detail + "), and only root may end it by force", {},
                   "root", "sudo " + hooks.advice);
  }
  if (hooks.on_force) hooks.on_force(detail);
  return EmergencyStop{{}, pull_brake(scope)};
}

Outcome<Exit> run_emergency_stop(Context& context, const EmergencyOptions& options) {
  const BrakeScope scope = brake_scope(context.client.socket(), options.reason, options.runtime_dir, options.state_dir);
  const auto on_force = [&](const std::string& detail) {
    context.err << "chaosctl: " << printable(detail) << "; stopping it by force\n";
  };
  const auto done = emergency_stop(scope, {context.advice("emergency-stop"), on_force});
  if (!done) return std::unexpected(done.error());
  if (done->forced) return print_brake(context, *done->forced);
  if (context.json()) {
    context.print_json(done->answer);
    return Exit::kDone;
  }
  const Json& stopped = list_at(done->answer, "stopped");
  context.out << "Emergency stop: " << stopped.size() << (stopped.size() == 1 ? " scenario" : " scenarios")
              << " stopped, nothing starts until " << printable(context.advice("rearm")) << ".\n";
  for (const Json& id : stopped) context.out << "  " << printable(text_of(id)) << '\n';
  for (const Json& warning : list_at(done->answer, "warnings")) {
    context.out << "  warning  " << printable(text_of(warning)) << '\n';
  }
  return Exit::kDone;
}

}  // namespace

BrakeScope brake_scope(const std::string& socket, std::string reason, const std::string& runtime_dir,
                       const std::string& state_dir) {
  BrakeScope scope{runtime_dir, state_dir, socket, std::move(reason)};
  if (scope.runtime_dir.empty()) scope.runtime_dir = std::filesystem::path(socket).parent_path();
  return scope;
}

Outcome<EmergencyStop> emergency_stop(const BrakeScope& scope, const EmergencyHooks& hooks) {
  if (::geteuid() == 0 && cannot_answer(scope)) {
    return by_force(scope, problem(Errc::kUnavailable, "the daemon has been stopped by a signal").error(), hooks);
  }
  Outcome<Json> answer = brake_call(scope.socket, scope.reason, kPatience);
  if (answer) return EmergencyStop{std::move(*answer), {}};
  const Exit exit = answer.error().exit;
  // Not reachable, or it tried and failed. A refused role stays refused.
  if (exit == Exit::kUnreachable || exit == Exit::kFailed) return by_force(scope, answer.error(), hooks);
  return std::unexpected(answer.error());
}

std::vector<Command> emergency_commands() {
  return {make_command<EmergencyOptions>("emergency-stop",
                                         "Stop everything at once and latch; works on a hung daemon as well (root)",
                                         emergency_options, run_emergency_stop)};
}

}  // namespace chaos::ctl
