// drops, tcp and syscalls: eBPF telemetry, attached as long as the command runs.
#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

struct WatchOptions {
  std::string target;
  std::string duration;
  bool watch = false;
  std::string every = "1s";
};

using Print = void (*)(const Context& context, const Json& report);

void time_options(CLI::App& app, WatchOptions& options) {
  app.add_option("--duration", options.duration, "How long; 10s, with --watch 1h at most");
  auto* watch =
      app.add_flag("--watch", options.watch, "Print again and again what has come since the beginning, until Ctrl-C");
  app.add_option("--every", options.every, "How often, with --watch")->needs(watch)->capture_default_str();
}

void watch_options(CLI::App& app, WatchOptions& options) {
  app.add_option("--target", options.target,
                 "Only what belongs to it: service=, unit=, cgroup=, container=; else the host")
      ->type_name("KEY=VALUE");
  time_options(app, options);
}

void syscall_options(CLI::App& app, WatchOptions& options) {
  app.add_option("--target", options.target, "Whose calls: service=, unit=, cgroup=, container= or pid=")
      ->type_name("KEY=VALUE")
      ->required();
  time_options(app, options);
}

double number(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_number() ? value.get<double>() : 0;
}

std::string scope_text(const Json& report) {
  return fmt::format("{}, {:.1f} s", printable(text_of(report, "scope")), number(report, "seconds"));
}

void print_end(const Context& context, const Json& report) {
  if (const auto missed = number_at(report, "missed"); missed > 0) {
    context.out << context.paint(fmt::format("{} events were not told by the kernel.", missed), Colour::kYellow)
                << '\n';
  }
  for (const Json& note : list_at(report, "notes")) context.out << "Note: " << printable(text_of(note)) << '\n';
}

void print_drops(const Context& context, const Json& report) {
  context.out << fmt::format("{}: {} packets dropped: {} natural, {} injected", scope_text(report),
                             number_at(report, "total"), number_at(report, "natural"), number_at(report, "injected"));
  if (const auto held = number_at(report, "delay_line"); held > 0)
    context.out << fmt::format(", {} in the delay line", held);
  context.out << '\n';
  const double seconds = std::max(number(report, "seconds"), 1e-3);
  Table table({"REASON", "ORIGIN", "PACKETS", "PER SECOND"});
  for (const Json& row : list_at(report, "reasons")) {
    const std::string origin = text_of(row, "origin");
    table.add({{text_of(row, "reason")},
               {origin, origin == "injected" ? Colour::kYellow : Colour::kNone},
               {text_of(row, "count")},
               {fmt::format("{:.1f}", number(row, "count") / seconds)}});
  }
  if (!table.empty()) context.print(table);
  if (const Json& without = member(report, "without_socket"); without.is_object()) {
    const auto count =
        number_at(without, "natural") + number_at(without, "injected") + number_at(without, "delay_line");
    if (count > 0) {
      context.out << fmt::format("Without a known socket, of anybody: {} natural, {} injected\n",
                                 number_at(without, "natural"), number_at(without, "injected"));
    }
  }
  if (const auto kills = number_at(report, "oom_kills"); kills > 0) {
    context.out << context.paint(fmt::format("{} processes killed for want of memory", kills), Colour::kRed) << '\n';
  }
  print_end(context, report);
}

/// "520 µs", "1.25 ms"; "-" for null.
std::string time_text(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  if (!value.is_number()) return "-";
  const double us = value.get<double>();
  if (us < 10) return fmt::format("{:.3g} µs", us);
  if (us < 1e3) return fmt::format("{:.0f} µs", us);
  return us < 1e6 ? fmt::format("{:.2f} ms", us / 1e3) : fmt::format("{:.2f} s", us / 1e6);
}

/// The buckets as bars, neighbours put together so that a screen has room.
void print_histogram(const Context& context, const Json& rtt) {
  constexpr std::size_t kMostLines = 16;
  constexpr double kWidth = 40;
  struct Line {
    double end = 0;
    std::uint64_t count = 0;
  };
  std::vector<Line> lines;
  for (const Json& bucket : list_at(rtt, "buckets")) {
    lines.push_back({number(bucket, "le_us"), number_at(bucket, "count")});
  }
  while (lines.size() > kMostLines) {
    std::vector<Line> half;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      // From the end, so that the last one, the largest, stays by itself or with its neighbour.
      if ((lines.size() - i) % 2 == 0 && i + 1 < lines.size()) {
        half.push_back({lines[i + 1].end, lines[i].count + lines[i + 1].count});
        ++i;
      } else {
        half.push_back(lines[i]);
      }
    }
    lines = std::move(half);
  }
  std::uint64_t most = 1;
  for (const Line& line : lines) most = std::max(most, line.count);
  for (const Line& line : lines) {
    const auto width =
        static_cast<std::size_t>(kWidth * static_cast<double>(line.count) / static_cast<double>(most) + 0.5);
    const Json end{{"end", line.end}};
    context.out << fmt::format("  <= {:>10}  {:<40}  {}\n", time_text(end, "end"), std::string(width, '#'), line.count);
  }
}

void print_tcp(const Context& context, const Json& report) {
  const Json& sent_again = member(report, "retransmits");
  const Json& resets = member(report, "resets");
  const Json& rtt = member(report, "rtt");
  const Json& sockets = member(report, "sockets");
  context.out << scope_text(report) << '\n';
  context.out << fmt::format("Sent again   {} packets, {} segments ({} SYN, {} SYN-ACK)\n",
                             number_at(sent_again, "packets"), number_at(sent_again, "segments"),
                             number_at(sent_again, "syn"), number_at(sent_again, "synack"));
  context.out << fmt::format("Resets       {} sent, {} received\n", number_at(resets, "sent"),
                             number_at(resets, "received"));
  context.out << fmt::format("Round trip   {} samples", number_at(rtt, "samples"));
  if (number_at(rtt, "samples") > 0) {
    context.out << fmt::format(": mean {}, p50 {}, p90 {}, p99 {}, max {}", time_text(rtt, "mean_us"),
                               time_text(rtt, "p50_us"), time_text(rtt, "p90_us"), time_text(rtt, "p99_us"),
                               time_text(rtt, "max_us"));
  }
  context.out << '\n';
  print_histogram(context, rtt);
  context.out << fmt::format("Sockets now  {}: {}\n", number_at(sockets, "count"),
                             printable(text_of(sockets, "states")));
  if (const Json& now = member(sockets, "rtt_us"); now.is_object()) {
    context.out << fmt::format("             round trip {} to {}, median {}\n", time_text(now, "min"),
                               time_text(now, "max"), time_text(now, "p50"));
  }
  context.out << fmt::format(
      "             {} segments sent again in their time, {} lost, {} on their way; {} bytes to send, {} to read\n",
      number_at(sockets, "retransmits"), number_at(sockets, "lost"), number_at(sockets, "unacked"),
      number_at(sockets, "send_queue_bytes"), number_at(sockets, "receive_queue_bytes"));
  print_end(context, report);
}

/// The errnos of a call: "ENOENT 3, EIO 5 (5 injected)".
std::string errnos_text(const Json& call) {
  std::string text;
  for (const Json& error : list_at(call, "errnos")) {
    const auto injected = number_at(error, "injected");
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", text_of(error, "errno"),
                        number_at(error, "natural") + injected);
    if (injected > 0) text += fmt::format(" ({} injected)", injected);
  }
  return text;
}

void print_syscalls(const Context& context, const Json& report) {
  const Json& errors = member(report, "errors");
  context.out << fmt::format("{}: {} calls, failed: {} by themselves, {} injected\n", scope_text(report),
                             number_at(report, "calls"), number_at(errors, "natural"), number_at(errors, "injected"));
  Table table({"SYSCALL", "CALLS", "MEAN", "P50", "P99", "MAX", "ERRORS"});
  for (const Json& call : list_at(report, "syscalls")) {
    const Json& latency = member(call, "latency");
    table.add({{text_of(call, "name")},
               {text_of(call, "calls")},
               {time_text(latency, "mean_us")},
               {time_text(latency, "p50_us")},
               {time_text(latency, "p99_us")},
               {time_text(latency, "max_us")},
               {errnos_text(call), Colour::kYellow}});
  }
  if (!table.empty()) context.print(table);
  print_end(context, report);
}

Outcome<Exit> follow(Context& context, const std::string& path, Print print) {
  const Interrupt interrupt;
  bool garbled = false;
  const auto end =
      context.client.stream(path, "",
                            {.on_event =
                                 [&](const SseEvent& event) {
                                   const Json report = Json::parse(event.data, nullptr, false);
                                   garbled = !report.is_object();
                                   if (garbled) return false;
                                   if (context.json()) {
                                     context.out << report.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
                                   } else {
                                     if (context.colour) context.out << "\x1b[H\x1b[2J";
                                     print(context, report);
                                   }
                                   context.out.flush();
                                   return context.out.good();
                                 },
                             .on_tick = {},
                             .interrupt_fd = interrupt.fd()});
  if (!end) return std::unexpected(end.error());
  if (garbled) return problem(Errc::kInternal, "the daemon's answer is no JSON object");
  return Exit::kDone;
}

Outcome<Exit> run_watch(Context& context, const WatchOptions& options, std::string_view what, Print print) {
  constexpr std::chrono::milliseconds kUsual{10'000};
  constexpr std::chrono::milliseconds kSlack{60'000};
  std::string path = fmt::format("/api/monitoring/{}?", what);
  if (!options.target.empty()) path += "target=" + url_escape(options.target) + "&";
  if (!options.duration.empty()) path += "duration=" + url_escape(options.duration) + "&";
  if (options.watch) return follow(context, path + "interval=" + url_escape(options.every), print);
  path.pop_back();
  const auto duration = parse_duration(options.duration);
  const auto wait = duration ? std::chrono::duration_cast<std::chrono::milliseconds>(*duration) : kUsual;
  // What is too long the daemon refuses at once.
  context.client.set_timeout(std::min<std::chrono::milliseconds>(wait, std::chrono::hours(1)) + kSlack);
  const Outcome<Json> report = context.client.get(path);
  if (!report) return std::unexpected(report.error());
  if (context.json()) {
    context.print_json(*report);
  } else {
    print(context, *report);
  }
  return Exit::kDone;
}

Outcome<Exit> run_drops(Context& context, const WatchOptions& options) {
  return run_watch(context, options, "drops", print_drops);
}

Outcome<Exit> run_tcp(Context& context, const WatchOptions& options) {
  return run_watch(context, options, "tcp", print_tcp);
}

Outcome<Exit> run_syscalls(Context& context, const WatchOptions& options) {
  return run_watch(context, options, "syscalls", print_syscalls);
}

}  // namespace

std::vector<Command> watch_commands() {
  return {
      make_command("drops", "Watch what packets the kernel drops, by reason; injected apart from natural",
                   watch_options, run_drops),
      make_command("tcp", "Watch TCP: what is sent again, resets, round-trip times, sockets", watch_options, run_tcp),
      make_command("syscalls", "Watch the system calls of a target: how many, how they end, how long they take",
                   syscall_options, run_syscalls)};
}

}  // namespace chaos::ctl
