#include <grp.h>
#include <unistd.h>

#include <algorithm>

#include "ctl/command.h"
#include "ctl/doctor.h"

namespace chaos::ctl {
namespace {

constexpr std::chrono::milliseconds kPatience{2000};

std::string_view verdict_text(Verdict verdict) {
  return verdict == Verdict::kOk ? "ok" : verdict == Verdict::kWarn ? "warn" : "FAIL";
}

Colour verdict_colour(Verdict verdict) {
  return verdict == Verdict::kOk ? Colour::kGreen : verdict == Verdict::kWarn ? Colour::kYellow : Colour::kRed;
}

std::vector<Check> examine(Context& context) {
  context.client.set_timeout(kPatience);
  const Json health = context.client.get("/health").value_or(Json());
  const Json features = health.is_object() ? context.client.get("/api/chaos/features").value_or(Json()) : Json();
  HostView host;
  host.socket = context.client.socket();
  host.is_root = ::geteuid() == 0;
  host.group_exists = [](const std::string& group) { return ::getgrnam(group.c_str()) != nullptr; };
  host.daemon_answers = health.is_object();
  std::vector<Check> checks = check_host(host);
  std::ranges::move(check_daemon(health, features), std::back_inserter(checks));
  return checks;
}

Outcome<Exit> run_doctor(Context& context) {
  const std::vector<Check> checks = examine(context);
  const auto failed = std::ranges::count(checks, Verdict::kFail, &Check::verdict);
  const auto warned = std::ranges::count(checks, Verdict::kWarn, &Check::verdict);
  const Exit exit = failed == 0 ? Exit::kDone : Exit::kFailed;
  if (context.json()) {
    Json list = Json::array();
    for (const Check& check : checks) {
      std::string result(check.verdict == Verdict::kFail ? "fail" : verdict_text(check.verdict));
      list.push_back({{"check", check.name}, {"result", result}, {"meaning", check.meaning}, {"advice", check.advice}});
    }
    context.print_json({{"ok", failed == 0}, {"checks", std::move(list)}});
    return exit;
  }
  Table table({"CHECK", "RESULT", "WHAT IT MEANS", "WHAT TO DO"});
  for (const Check& check : checks) {
    table.add({{check.name},
               {std::string(verdict_text(check.verdict)), verdict_colour(check.verdict)},
               {check.meaning},
               {check.advice}});
  }
  context.print(table);
  context.out << '\n'
              << (failed == 0 ? "chaosd can work here" : "chaosd cannot work here") << " (" << failed << " failed, "
              << warned << " warnings).\n";
  return exit;
}

}  // namespace

std::vector<Command> doctor_commands() {
  return {make_command("doctor", "Check this host: what would not work, and what to do about it", run_doctor)};
}

}  // namespace chaos::ctl
