// start and plan: from the command line to a scenario request, and what the user is told about it. Kinds, targets and
// parameters are the daemon's: they pass through as text, and the daemon says what is wrong with them.
#include <map>
#include <optional>

#include <fmt/format.h>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/follow.h"
#include "ctl/json_text.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

struct StartOptions {
  std::string kind;
  std::vector<std::string> targets;
  std::vector<std::string> parameters;
  std::optional<int> severity;
  std::string duration;
  std::string seed;
  std::string reason;
  std::string idempotency_key;
  bool shadow = false;
  bool validate = false;
  bool confirm_default_route = false;
  bool wait = false;
};

void plan_options(CLI::App& app, StartOptions& options) {
  app.add_option("KIND", options.kind, "The kind of fault; chaosctl kinds lists them, KIND --help its parameters")
      ->required();
  add_repeated(app, "--target", options.targets, "What may be hit, and what narrows it; may be repeated")
      ->type_name("KEY=VALUE");
  add_repeated(app, "-p,--set", options.parameters, "A parameter of the kind; may be repeated")
      ->type_name("NAME=VALUE");
  app.add_option("--severity", options.severity, "Fills parameters from the kind's presets")->check(CLI::Range(1, 5));
  app.add_option("--duration", options.duration, "When it ends by itself, such as 30s or 5m (default: the daemon's)");
  app.add_option("--seed", options.seed, "Makes the random decisions repeatable")->type_name("NUMBER");
  app.add_option("--reason", options.reason, "Why this is done, for the record");
  app.add_flag("--shadow", options.shadow, "Decide and count, but do not act");
  app.add_flag("--validate", options.validate, "Validate the recovery afterwards");
  app.add_flag("--confirm-default-route", options.confirm_default_route,
               "Yes, the target is the interface of the host's default route");
}

void start_options(CLI::App& app, StartOptions& options) {
  plan_options(app, options);
  app.add_flag("--wait", options.wait, "Wait for the end, and exit with the verdict; Ctrl-C ends only the wait");
  app.add_option("--idempotency-key", options.idempotency_key, "The same key never starts a second scenario")
      ->type_name("KEY");
}

struct Pair {
  std::string key;
  std::string value;
};

Outcome<Pair> split_pair(const std::string& text, const std::string& option) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return problem(Errc::kInvalid, fmt::format("{} takes KEY=VALUE, not '{}'", option, text), option, "KEY=VALUE");
  }
  return Pair{text.substr(0, equals), text.substr(equals + 1)};
}

/// {"interface": "eth0", "port": ["80", "443"]}
Outcome<Json> target_json(const std::vector<std::string>& targets) {
  Json target = Json::object();
  for (const std::string& text : targets) {
    Outcome<Pair> pair = split_pair(text, "--target");
    if (!pair) return std::unexpected(pair.error());
    Json& value = target[pair->key];
    if (value.is_null()) {
      value = pair->value;
    } else if (value.is_array()) {
      value.push_back(pair->value);
    } else {
      value = Json::array({value, pair->value});
    }
  }
  return target;
}

Outcome<Json> parameters_json(const std::vector<std::string>& settings) {
  Json parameters = Json::object();
  for (const std::string& text : settings) {
    Outcome<Pair> pair = split_pair(text, "--set");
    if (!pair) return std::unexpected(pair.error());
    if (parameters.contains(pair->key)) {
      return problem(Errc::kInvalid, fmt::format("parameter '{}' is set twice", pair->key), "parameters." + pair->key,
                     "once");
    }
    parameters[pair->key] = pair->value;
  }
  return parameters;
}

Outcome<Json> request_body(const StartOptions& options) {
  Outcome<Json> target = target_json(options.targets);
  if (!target) return target;
  Outcome<Json> parameters = parameters_json(options.parameters);
  if (!parameters) return parameters;
  Json body{{"kind", options.kind}, {"target", std::move(*target)}, {"parameters", std::move(*parameters)}};
  if (options.severity) body["severity"] = *options.severity;
  if (!options.duration.empty()) body["duration"] = options.duration;
  if (!options.seed.empty()) {
    if (!parse_unsigned(options.seed)) {
      return problem(Errc::kInvalid, fmt::format("'{}' is no seed", options.seed), "seed", "a number of 64 bits");
    }
    body["seed"] = options.seed;
  }
  if (!options.reason.empty()) body["reason"] = options.reason;
  if (options.shadow) body["mode"] = "shadow";
  if (options.validate) body["validate"] = true;
  if (options.confirm_default_route) body["confirm_default_route"] = true;
  return body;
}

void print_started(const Context& context, const Json& scenario) {
  const std::string id = text_of(scenario, "id");
  const std::string state = text_of(scenario, "state");
  const bool queued = state == "queued";
  context.out << (queued ? "Queued " : "Started ") << context.paint(printable(id), Colour::kBold) << "  "
              << printable(text_of(scenario, "kind")) << "  "
              << context.paint(printable(state_text(scenario)), state_colour(state));
  if (text_of(scenario, "mode") == "shadow") context.out << "  shadow: counts, does not act";
  if (const std::string position = text_of(scenario, "queue_position"); queued && !position.empty()) {
    context.out << "  position " << printable(position);
    if (const auto start = parse_rfc3339(text_of(scenario, "expected_start_at"))) {
      context.out << ", starts " << relative_time(*start, system_clock().wall()) << " or sooner";
    }
  }
  context.out << '\n';
  print_touched(context, scenario);
  const std::string ends = text_of(scenario, "ends_at");
  if (const auto time = parse_rfc3339(ends)) {
    context.out << "  ends by itself " << relative_time(*time, system_clock().wall()) << " (" << ends << ")\n";
  } else if (const std::string duration = text_of(scenario, "duration"); !duration.empty()) {
    context.out << "  lasts " << printable(duration) << " once it acts\n";
  }
  context.out << "  stop it with: " << printable(context.advice("stop " + id)) << std::endl;
}

Outcome<Exit> wait_for_end(Context& context, const Json& started) {
  const Interrupt interrupt;
  const auto on_change = [&](const Json& scenario) {
    if (context.json() || is_final(scenario)) return;
    context.out << "  now " << printable(state_text(scenario)) << std::endl;
  };
  Outcome<Followed> followed = follow_scenario(context.client, started, interrupt, on_change);
  if (!followed) return std::unexpected(followed.error());
  const Json& scenario = followed->scenario;
  if (followed->interrupted) {
    const std::string id = text_of(scenario, "id");
    context.err << "chaosctl: no longer waiting; " << printable(id) << " goes on (" << printable(state_text(scenario))
                << "). Stop it with: " << printable(context.advice("stop " + id)) << '\n';
    if (context.json()) context.print_json(scenario);
    return Exit::kInterrupted;
  }
  if (context.json()) {
    context.print_json(scenario);
  } else {
    context.out << '\n';
    print_scenario(context, scenario, system_clock().wall());
  }
  return verdict_of(scenario);
}

Outcome<Exit> run_start(Context& context, const StartOptions& options) {
  const Outcome<Json> body = request_body(options);
  if (!body) return std::unexpected(body.error());
  std::vector<std::string> headers;
  if (!options.idempotency_key.empty()) {
    if (printable(options.idempotency_key) != options.idempotency_key) {
      return problem(Errc::kInvalid, "the key has control characters", "--idempotency-key", "printable text");
    }
    headers.push_back("Idempotency-Key: " + options.idempotency_key);
  }
  const Outcome<Json> scenario = context.client.post("/api/chaos/scenarios", *body, headers);
  if (!scenario) return std::unexpected(scenario.error());
  if (!context.json()) print_started(context, *scenario);
  if (options.wait) return wait_for_end(context, *scenario);
  if (context.json()) context.print_json(*scenario);
  return Exit::kDone;
}

Outcome<Exit> run_plan(Context& context, const StartOptions& options) {
  const Outcome<Json> body = request_body(options);
  if (!body) return std::unexpected(body.error());
  const Outcome<Json> plan = context.client.post("/api/chaos/plan", *body);
  if (!plan) return std::unexpected(plan.error());
  const bool admitted = flag_at(*plan, "admitted");
  const Json& refusal = member(*plan, "refusal");
  const Exit exit = admitted              ? Exit::kDone
                    : refusal.is_object() ? exit_for_status(static_cast<long>(number_at(refusal, "status")))
                                          : Exit::kRefused;
  if (context.json()) {
    context.print_json(*plan);
    return exit;
  }
  const Json& scenario = member(*plan, "scenario");
  context.out << printable(text_of(scenario, "kind")) << "  "
              << (admitted ? context.paint("would be admitted", Colour::kGreen)
                           : context.paint("would be refused", Colour::kRed))
              << ". Nothing was changed.\n";
  print_touched(context, scenario);
  if (const std::string duration = text_of(scenario, "duration"); !duration.empty()) {
    context.out << "  lasts " << printable(duration) << '\n';
  }
  if (!admitted) context.err << render({exit, refusal, 0});
  return exit;
}

}  // namespace

std::vector<Command> start_commands() {
  return {
      make_command<StartOptions>("start", "Start a scenario: one kind of fault on one target", start_options,
                                 run_start),
      make_command<StartOptions>("plan", "Tell what start would touch and whether it is allowed; changes nothing",
                                 plan_options, run_plan),
  };
}

}  // namespace chaos::ctl
