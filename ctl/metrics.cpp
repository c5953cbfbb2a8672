// metrics: the newest values of the daemon's series, once or again and again.
#include <fmt/format.h>

#include <map>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/json_text.h"

namespace chaos::ctl {

Command history_command();  // history.cpp

namespace {

struct MetricsOptions {
  std::string pattern;
  bool watch = false;
  std::string every = "1s";
};

void metrics_options(CLI::App& app, MetricsOptions& options) {
  app.add_option("PATTERN", options.pattern, "Only metrics whose name matches: a shell pattern, or a part of it");
  auto* watch = app.add_flag("--watch", options.watch, "Print again and again, with rates, until Ctrl-C");
  app.add_option("--every", options.every, "How often, with --watch")->needs(watch)->capture_default_str();
}

std::string name_of(const Json& series) {
  std::string text = text_of(series, "name");
  const Json& labels = member(series, "labels");
  std::string inside;
  for (const auto& [key, value] : labels.items()) {
    inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", key, text_of(value));
  }
  return inside.empty() ? text : fmt::format("{}{{{}}}", text, inside);
}

double number_of(const Json& series) {
  const Json& value = member(series, "value");
  return value.is_number() ? value.get<double>() : 0;
}

/// Values of the last look, by series, and when that was.
struct Before {
  std::map<std::string, double> values;
  std::optional<WallTime> time;
};

/// "12.5/s" of a counter since the last look; empty without one.
std::string rate_of(const Json& series, const std::string& name, const Before& before, std::optional<WallTime> now) {
  const auto last = before.values.find(name);
  if (text_of(series, "type") != "counter" || last == before.values.end() || !before.time || !now) return {};
  const std::chrono::duration<double> span = *now - *before.time;
  if (span.count() <= 0) return {};
  return fmt::format("{:.6g}/s", (number_of(series) - last->second) / span.count());
}

void print_metrics(const Context& context, const Json& answer, Before& before) {
  const auto now = parse_rfc3339(text_of(answer, "time"));
  const bool again = before.time.has_value();
  std::vector<std::string> headers{"METRIC", "VALUE", "UNIT"};
  if (again) headers.emplace_back("RATE");
  Table table(headers);
  for (const Json& series : list_at(answer, "metrics")) {
    const std::string name = name_of(series);
    std::vector<Table::Cell> cells{{name}, {text_of(series, "value")}, {text_of(series, "unit")}};
    if (again) cells.push_back({rate_of(series, name, before, now)});
    table.add(std::move(cells));
    before.values[name] = number_of(series);
  }
  before.time = now;
  if (table.empty()) {
    context.out << "No metric matches.\n";
  } else {
    context.print(table);
  }
}

Outcome<Exit> run_metrics(Context& context, const MetricsOptions& options) {
  const auto every = parse_duration(options.every);
  constexpr std::chrono::milliseconds kLeast{50};
  if (!every || *every < kLeast || *every > std::chrono::hours(24)) {
    return problem(Errc::kInvalid, "--every is \"" + options.every + "\"", "every", "50ms to 24h", "for example 2s");
  }
  const std::string path =
      "/api/monitoring/metrics" + (options.pattern.empty() ? "" : "?pattern=" + url_escape(options.pattern));
  const Interrupt interrupt;
  Before before;
  while (true) {
    const Outcome<Json> answer = context.client.get(path);
    if (!answer) return std::unexpected(answer.error());
    if (context.json()) {
      // With --watch a document a line.
      context.out << answer->dump(options.watch ? -1 : 2, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
      // Home and clear to the end: a screen that is drawn over does not flicker.
      if (options.watch && context.colour) context.out << "\x1b[H\x1b[2J";
      if (options.watch) context.out << printable(text_of(*answer, "time")) << '\n';
      print_metrics(context, *answer, before);
    }
    context.out.flush();
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(*every);
    if (!options.watch || interrupt.wait(static_cast<int>(wait.count()))) return Exit::kDone;
  }
}

}  // namespace

std::vector<Command> metric_commands() {
  return {make_command("metrics", "Show the daemon's series: kernel counters, services, faults, itself",
                       metrics_options, run_metrics),
          history_command()};
}

}  // namespace chaos::ctl
