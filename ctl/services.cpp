// services: the configured services as they are now.
#include "ctl/command.h"
#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

/// "healthy for 3m", "unhealthy for 12s: no answer within 1 s".
Table::Cell health_of(const Json& service, WallTime now) {
  const Json& health = member(service, "health");
  const std::string state = text_of(health, "state");
  std::string text = state;
  if (const auto since = parse_rfc3339(text_of(health, "since")); since && now >= *since) {
    text += " for " + span_text(std::chrono::floor<std::chrono::seconds>(now - *since));
  }
  if (state == "unhealthy") return {text + ": " + text_of(health, "reason"), Colour::kRed};
  return {text, state == "healthy" ? Colour::kGreen : Colour::kNone};
}

Outcome<Exit> run_services(Context& context) {
  const Outcome<Json> answer = context.client.get("/api/services");
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  Table table({"SERVICE", "WHERE", "STATE", "HEALTH", "PROCESSES", "PORTS", "WEIGHT", "TOUCHED BY", "PROBLEM"});
  const WallTime now = system_clock().wall();
  for (const Json& service : list_at(*answer, "services")) {
    const bool running = flag_at(service, "running");
    table.add({{text_of(service, "name")},
               {text_of(service, "place")},
               {running ? "running" : "not running", running ? Colour::kGreen : Colour::kRed},
               health_of(service, now),
               {text_of(service, "pids")},
               {text_of(service, "ports")},
               {text_of(service, "weight")},
               {text_of(service, "touched_by"), Colour::kYellow},
               {text_of(service, "problem"), Colour::kYellow}});
  }
  if (table.empty()) {
    context.out << "No services are configured: see services in chaosd.yaml(5).\n";
  } else {
    context.print(table);
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Command> service_commands() {
  return {make_command("services", "List the configured services: where they run, whether they do, what touches them",
                       run_services)};
}

}  // namespace chaos::ctl
