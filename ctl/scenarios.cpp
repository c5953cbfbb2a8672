// list and show: the scenarios that the daemon knows.
#include "ctl/command.h"
#include "ctl/json_text.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

struct ListOptions {
  bool all = false;
};

struct ShowOptions {
  std::string id;
};

void list_options(CLI::App& app, ListOptions& options) {
  app.add_flag("--all", options.all, "Those that have ended as well");
}

Outcome<Exit> run_list(Context& context, const ListOptions& options) {
  const Outcome<Json> answer =
      context.client.get(options.all ? "/api/chaos/scenarios?all=true" : "/api/chaos/scenarios");
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  const Json& scenarios = list_at(*answer, "scenarios");
  if (scenarios.empty()) {
    context.out << (options.all ? "No scenarios on record.\n" : "Nothing is active or queued.\n");
  } else {
    print_list(context, scenarios, system_clock().wall());
  }
  return Exit::kDone;
}

void show_options(CLI::App& app, ShowOptions& options) {
  app.add_option("ID", options.id, "The scenario's id, as start and list print it")->required();
}

Outcome<Exit> run_show(Context& context, const ShowOptions& options) {
  const Outcome<Json> scenario = context.client.get("/api/chaos/scenarios/" + url_escape(options.id));
  if (!scenario) return std::unexpected(scenario.error());
  if (context.json()) {
    context.print_json(*scenario);
  } else {
    print_scenario(context, *scenario, system_clock().wall());
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Command> scenario_commands() {
  return {
      make_command<ListOptions>("list", "List the scenarios that are active or queued", list_options, run_list),
      make_command<ShowOptions>("show", "Show one scenario: plan, effective parameters, counters, warnings",
                                show_options, run_show),
  };
}

}  // namespace chaos::ctl
