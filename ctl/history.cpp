// history: the series of one metric over time, as plots.
#include <fmt/format.h>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/json_text.h"
#include "ctl/plot.h"

namespace chaos::ctl {

Command history_command();

namespace {

constexpr std::size_t kMostPlots = 16;
constexpr std::size_t kScaleColumns = 12;  // left of the drawing, and a blank at its right
constexpr std::size_t kUsualColumns = 80;
constexpr std::size_t kFewestColumns = 40;

struct HistoryOptions {
  std::string metric;
  std::string since = "10m";
  std::string step;
  std::string aggregation;
  std::vector<std::string> labels;
};

void history_options(CLI::App& app, HistoryOptions& options) {
  app.add_option("METRIC", options.metric, "Full name, as `chaosctl metrics` shows it")->required();
  app.add_option("--since", options.since, "How far back")->type_name("DURATION")->capture_default_str();
  app.add_option("--step", options.step, "Length of a step; without it, what the plot's width needs")
      ->type_name("DURATION");
  app.add_option("--aggregation", options.aggregation, "What a step shows; without it, rate of a counter, else last")
      ->check(CLI::IsMember({"last", "avg", "min", "max", "rate", "increase"}));
  add_repeated(app, "-l,--label", options.labels, "Only series with this label; may be repeated")
      ->type_name("NAME=VALUE");
}

std::vector<PlotPoint> points_of(const Json& series) {
  std::vector<PlotPoint> points;
  for (const Json& point : list_at(series, "points")) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number_integer()) continue;
    const auto value = point[1].is_number() ? std::optional(point[1].get<double>()) : std::nullopt;
    points.emplace_back(point[0].get<std::int64_t>(), value);
  }
  return points;
}

std::string unit_text(const Json& answer) {
  const std::string unit = text_of(answer, "unit");
  if (text_of(answer, "aggregation") != "rate") return unit;
  return unit.empty() ? "per second" : unit + " per second";
}

Outcome<std::string> path_of(const HistoryOptions& options, std::size_t columns) {
  const auto since = parse_duration(options.since);
  if (!since || since->count() == 0) {
    return problem(Errc::kInvalid, "--since is \"" + options.since + "\"", "since", "a duration",
                   "for example 10m or 2d");
  }
  // Two dots a column; no finer than what is sampled at most.
  std::string step = options.step;
  if (step.empty()) {
    const auto dots = static_cast<std::int64_t>(columns * 2);
    const auto exact = std::chrono::ceil<std::chrono::seconds>(*since / dots);
    step = fmt::format("{}s", std::max<std::int64_t>(exact.count(), 1));
  }
  std::string labels;
  for (const std::string& label : options.labels) labels += (labels.empty() ? "" : ",") + label;
  std::string path = fmt::format("/api/monitoring/history?metric={}&since={}&step={}", url_escape(options.metric),
                                 url_escape(options.since), url_escape(step));
  if (!options.aggregation.empty()) path += "&aggregation=" + options.aggregation;
  if (!labels.empty()) path += "&labels=" + url_escape(labels);
  return path;
}

void print_series(const Context& context, const Json& answer, const Json& series, std::size_t columns) {
  std::string labels = target_text(member(series, "labels"));
  const auto points = points_of(series);
  std::string title = fmt::format("{} ({}{}{})", text_of(answer, "metric"), text_of(answer, "aggregation"),
                                  unit_text(answer).empty() ? "" : ", ", unit_text(answer));
  if (!labels.empty()) title += "  " + labels;
  context.out << context.paint(printable(title), Colour::kBold) << '\n';
  for (const std::string& line : plot(points, {.columns = columns, .rows = 8})) context.out << line << '\n';
}

Outcome<Exit> run_history(Context& context, const HistoryOptions& options) {
  const std::size_t width = context.columns >= kFewestColumns ? context.columns : kUsualColumns;
  const std::size_t columns = width - kScaleColumns;
  const auto path = path_of(options, columns);
  if (!path) return std::unexpected(path.error());
  const Outcome<Json> answer = context.client.get(*path);
  if (!answer) return std::unexpected(answer.error());
  if (context.json()) {
    context.print_json(*answer);
    return Exit::kDone;
  }
  const Json& all = list_at(*answer, "series");
  std::size_t shown = 0;
  for (const Json& series : all) {
    if (shown++ == kMostPlots) break;
    print_series(context, *answer, series, columns);
  }
  if (all.empty()) context.out << "No samples of it in that time.\n";
  if (const std::string problem = text_of(*answer, "problem"); !problem.empty()) {
    context.out << "Some may be missing: " << printable(problem) << '\n';
  }
  if (all.size() > kMostPlots) {
    context.out << fmt::format("{} more series: choose by --label, or see all with -o json.\n",
                               all.size() - kMostPlots);
  }
  return Exit::kDone;
}

}  // namespace

Command history_command() {
  return make_command("history", "Plot the series of one metric over time", history_options, run_history);
}

}  // namespace chaos::ctl
