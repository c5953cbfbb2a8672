// stop and rearm. The server answers a stop when the scenario is removed and attested; the verdict on residue comes
// from it as well.
#include <algorithm>

#include <fmt/format.h>

#include "ctl/command.h"
#include "ctl/json_text.h"
#include "ctl/residue.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

struct StopOptions {
  std::string id;
  bool all = false;
  bool drop_in_flight = false;
};

void stop_options(CLI::App& app, StopOptions& options) {
  app.add_option("ID", options.id, "The scenario to stop");
  app.add_flag("--all", options.all, "Stop all that are active or queued");
  app.add_flag("--drop-in-flight", options.drop_in_flight,
               "Drop the packets that are held back, instead of letting them go");
}

void print_stopped(const Context& context, const Json& scenario) {
  const std::string state = text_of(scenario, "state");
  const Json& counters = member(scenario, "counters");
  context.out << context.paint(printable(text_of(scenario, "id")), Colour::kBold) << "  "
              << printable(text_of(scenario, "kind")) << "  "
              << context.paint(printable(state_text(scenario)), state_colour(state));
  if (counters.is_object() && !counters.empty()) {
    context.out << fmt::format("  matched {}, injected {}", number_at(counters, "matched"),
                               number_at(counters, "injected"));
  }
  context.out << '\n';
  for (const Json& warning : list_at(scenario, "warnings")) {
    context.out << "  warning  " << context.paint(printable(text_of(warning)), Colour::kYellow) << '\n';
  }
  if (const std::string error = text_of(scenario, "error"); !error.empty()) {
    context.out << "  error  " << context.paint(printable(error), Colour::kRed) << '\n';
  }
}

Outcome<Json> stop_one(Client& client, const std::string& id, bool drop_in_flight) {
  Json body = Json::object();
  if (drop_in_flight) body["drop_in_flight"] = true;
  return client.post("/api/chaos/scenarios/" + url_escape(id) + "/stop", body);
}

Exit worse(Exit one, Exit other) { return std::max(one, other); }

Outcome<Exit> stop_single(Context& context, const StopOptions& options) {
  Outcome<Json> scenario = stop_one(context.client, options.id, options.drop_in_flight);
  if (!scenario) return std::unexpected(scenario.error());
  const Outcome<Json> residue = ask_residue(context.client);
  const Exit exit =
      text_of(*scenario, "state") == "failed" || !residue || !is_clean(*residue) ? Exit::kFailed : Exit::kDone;
  if (context.json()) {
    (*scenario)["residue"] = residue ? *residue : residue.error().document;
    context.print_json(*scenario);
    return exit;
  }
  print_stopped(context, *scenario);
  if (!residue) return std::unexpected(residue.error());
  print_residue(context, *residue);
  return exit;
}

Outcome<Exit> stop_all(Context& context, bool drop_in_flight) {
  const Outcome<Json> answer = context.client.get("/api/chaos/scenarios");
  if (!answer) return std::unexpected(answer.error());
  Json document{{"stopped", Json::array()}, {"errors", Json::array()}};
  Exit exit = Exit::kDone;
  for (const Json& scenario : list_at(*answer, "scenarios")) {
    const std::string id = text_of(scenario, "id");
    Outcome<Json> stopped = stop_one(context.client, id, drop_in_flight);
    if (!stopped) {
      // One that resists must not keep the others running.
      exit = worse(exit, stopped.error().exit);
      if (!context.json()) context.err << printable(id) << "  " << render(stopped.error());
      document["errors"].push_back(stopped.error().document);
      continue;
    }
    if (text_of(*stopped, "state") == "failed") exit = worse(exit, Exit::kFailed);
    if (!context.json()) print_stopped(context, *stopped);
    document["stopped"].push_back(std::move(*stopped));
  }
  const Outcome<Json> residue = ask_residue(context.client);
  if (!residue) return std::unexpected(residue.error());
  if (!is_clean(*residue)) exit = worse(exit, Exit::kFailed);
  document["residue"] = *residue;
  if (context.json()) {
    context.print_json(document);
    return exit;
  }
  if (list_at(*answer, "scenarios").empty()) context.out << "Nothing is active or queued.\n";
  print_residue(context, *residue);
  return exit;
}

Outcome<Exit> run_stop(Context& context, const StopOptions& options) {
  if (options.all == !options.id.empty()) {
    return problem(Errc::kInvalid, "stop takes either an ID or --all", "ID", "exactly one of the two",
                   context.advice("list") + " prints the ids");
  }
  return options.all ? stop_all(context, options.drop_in_flight) : stop_single(context, options);
}

Outcome<Exit> run_rearm(Context& context) {
  const Outcome<Json> answer = context.client.post("/api/chaos/rearm", Json::object());
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
  } else {
    context.out << "Re-armed: scenarios may be started again.\n";
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Command> stop_commands() {
  return {
      make_command<StopOptions>("stop", "Stop a scenario and tell whether anything is left of it", stop_options,
                                run_stop),
      make_command("rearm", "Lift the latch of an emergency stop: scenarios may start again", run_rearm),
  };
}

}  // namespace chaos::ctl
