// health, audit, log-level, reload: the daemon itself.
#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

#include "ctl/command.h"
#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

// In this order; what a newer daemon tells beside them comes behind.
constexpr std::array<std::string_view, 10> kHealthOrder{"status",          "version",       "instance", "armed",
                                                        "latched",         "latch_reason",  "active",   "queued",
                                                        "lease_margin_ms", "uptime_seconds"};

/// Some 100 million entries.
constexpr std::chrono::minutes kVerifyTimeout{15};

void print_health(const Context& context, const Json& health, bool good) {
  Table table({"", ""});
  const auto add = [&](std::string_view key) {
    const std::string value = text_of(health, key);
    const Colour colour = key != "status" ? Colour::kNone : good ? Colour::kGreen : Colour::kRed;
    if (!value.empty()) table.add({{std::string(key), Colour::kDim}, {value, colour}});
  };
  std::ranges::for_each(kHealthOrder, add);
  for (const auto& [key, value] : health.items()) {
    if (std::ranges::find(kHealthOrder, key) == kHealthOrder.end()) add(key);
  }
  context.print(table);
}

Outcome<Exit> run_health(Context& context) {
  const Outcome<Json> health = context.client.get("/health");
  if (!health) return std::unexpected(health.error());
  const std::string status = text_of(*health, "status");
  const bool good = status == "ok";
  if (context.json()) {
    context.print_json(*health);
    return good ? Exit::kDone : Exit::kFailed;
  }
  print_health(context, *health, good);
  if (flag_at(*health, "latched")) {
    context.out << context.paint(
                       "Latched by an emergency stop: nothing starts until " + printable(context.advice("rearm")),
                       Colour::kYellow)
                << '\n';
  }
  return good ? Exit::kDone : Exit::kFailed;
}

struct AuditOptions {
  unsigned limit = 100;
  bool verify = false;
};

void audit_options(CLI::App& app, AuditOptions& options) {
  auto* limit = app.add_option("--limit", options.limit, "At most this many entries, the newest ones")
                    ->check(CLI::Range(1U, 1000U))
                    ->capture_default_str();
  app.add_flag("--verify", options.verify, "Check that no entry was altered, removed or inserted")->excludes(limit);
}

Outcome<Exit> verify_audit(Context& context) {
  context.client.set_timeout(kVerifyTimeout);
  const Outcome<Json> answer = context.client.get("/api/audit/verify");
  if (!answer) return std::unexpected(answer.error());
  const bool good = flag_at(*answer, "ok");
  if (context.json()) {
    context.print_json(*answer);
    return good ? Exit::kDone : Exit::kFailed;
  }
  const std::uint64_t checked = number_at(*answer, "checked");
  const std::uint64_t unchained = number_at(*answer, "unchained");
  std::string counts = fmt::format("{} {} checked", checked, checked == 1 ? "entry" : "entries");
  if (unchained > 0) counts += fmt::format(", {} before them have no hash", unchained);
  if (good) {
    context.out << context.paint("The audit log is intact", Colour::kGreen)
                << fmt::format(": {}; head {}\n", counts, printable(text_of(*answer, "head")));
    return Exit::kDone;
  }
  const Json& problem = member(*answer, "problem");
  context.out << context.paint("The audit log is not as it was written", Colour::kRed)
              << fmt::format(": entry {}: {} ({})\n", printable(text_of(problem, "seq")),
                             printable(text_of(problem, "what")), counts);
  return Exit::kFailed;
}

Outcome<Exit> run_audit(Context& context, const AuditOptions& options) {
  if (options.verify) return verify_audit(context);
  const Outcome<Json> answer = context.client.get(fmt::format("/api/audit?limit={}", options.limit));
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  Table table({"SEQ", "TIME", "ACTION", "STATUS", "USER", "UID", "LOGIN", "BY", "SCENARIO", "REQUEST", "DETAIL"});
  for (const Json& entry : list_at(*answer, "entries")) {
    const auto cell = [&](std::string_view key) { return Table::Cell{text_of(entry, key)}; };
    const std::uint64_t status = number_at(entry, "status");
    table.add({cell("seq"),
               cell("time"),
               cell("action"),
               {text_of(entry, "status"), status >= 400 ? Colour::kYellow : Colour::kNone},
               cell("user"),
               cell("uid"),
               cell("login_uid"),
               cell("comm"),
               cell("scenario_id"),
               cell("request_id"),
               cell("detail")});
  }
  if (table.empty()) {
    context.out << "The audit log is empty.\n";
  } else {
    context.print(table);
  }
  return Exit::kDone;
}

struct LevelOptions {
  std::string level;
};

void level_options(CLI::App& app, LevelOptions& options) {
  app.add_option("LEVEL", options.level, "trace, debug, info, warn, error or critical; without one, print the level");
}

Outcome<Exit> run_log_level(Context& context, const LevelOptions& options) {
  const Outcome<Json> answer = options.level.empty()
                                   ? context.client.get("/api/log-level")
                                   : context.client.post("/api/log-level", Json{{"level", options.level}});
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
  } else {
    context.out << printable(text_of(*answer, "level")) << '\n';
  }
  return Exit::kDone;
}

Outcome<Exit> run_reload(Context& context) {
  const Outcome<Json> answer = context.client.post("/api/config/reload", Json::object());
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  context.out << "The configuration was reloaded.\n";
  for (const std::string_view key : {"warnings", "not_in_effect"}) {
    for (const Json& line : list_at(*answer, key)) {
      context.out << "  " << (key == "warnings" ? "warning" : "not in effect yet") << "  " << printable(text_of(line))
                  << '\n';
    }
  }
  for (const Json& misfit : list_at(*answer, "no_longer_fit")) {
    context.out << "  no longer fits, " << printable(text_of(misfit, "action")) << "  "
                << printable(text_of(misfit, "id")) << ": " << printable(text_of(misfit, "message")) << '\n';
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Command> daemon_commands() {
  return {
      make_command<AuditOptions>("audit", "Print who did what, the newest entries of the audit log, or check the log",
                                 audit_options, run_audit),
      make_command("health", "Tell how the daemon is and whether chaos is going on", run_health),
      make_command<LevelOptions>("log-level", "Print or change the daemon's log level", level_options, run_log_level),
      make_command("reload", "Make the daemon read its configuration again; a bad one changes nothing", run_reload),
  };
}

}  // namespace chaos::ctl
