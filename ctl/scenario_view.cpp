#include "ctl/scenario_view.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

constexpr std::array<std::string_view, 7> kPartsOfMatched{
    "injected", "shadowed", "not_sampled", "spared_protected", "spared_budget", "spared_expired", "over_limit"};

std::string time_text(const Json& scenario, std::string_view key, WallTime now) {
  const std::string text = text_of(scenario, key);
  const auto time = parse_rfc3339(text);
  return time ? text + " (" + relative_time(*time, now) + ")" : text;
}

/// Label and value on a line of its own; left out when there is no value.
class Page {
 public:
  Page() : table_({"", ""}) {}
  void line(std::string label, std::string value, Colour colour = Colour::kNone) {
    if (value.empty()) return;
    table_.add({{std::move(label), Colour::kDim}, {std::move(value), colour}});
  }
  /// One line for each item, the label on the first.
  void list(std::string label, const Json& items, Colour colour = Colour::kNone) {
    for (const Json& item : items) {
      line(label, text_of(item), colour);
      label.clear();
    }
  }
  void print(const Context& context) const { context.print(table_, "  "); }

 private:
  Table table_;
};

std::string owner_text(const Json& owner) {
  if (!owner.is_object()) return {};
  std::string text = fmt::format("{} (uid {})", text_of(owner, "user"), text_of(owner, "uid"));
  const std::string login = text_of(owner, "login_uid");
  if (!login.empty() && login != text_of(owner, "uid")) text += ", logged in as uid " + login;
  const std::string comm = text_of(owner, "comm");
  return comm.empty() ? text : text + ", by " + comm;
}

std::string mechanism_text(const Json& plan) {
  const std::string ownership = text_of(plan, "ownership");
  std::string text = text_of(plan, "mechanism");
  if (ownership == "file_descriptor") return text + "; the kernel removes it when chaosd dies";
  if (ownership == "process") return text + "; ends with chaosd's processes";
  if (ownership == "journaled") return text + "; undone from the journal when chaosd dies";
  return ownership.empty() ? text : text + " (" + ownership + ")";
}

void add_plan(Page& page, const Json& scenario) {
  const Json& plan = member(scenario, "plan");
  page.list("interfaces", list_at(plan, "interfaces"));
  page.list("touches", list_at(plan, "touches"));
  page.line("blast radius", text_of(plan, "blast_radius"));
  page.list("cgroups", list_at(plan, "cgroups"));
  page.list("processes", list_at(plan, "processes"));
  page.list("peers", list_at(plan, "peers"));
  const Json& effective = member(plan, "parameters");
  page.line("parameters", text_of(effective.is_object() ? effective : member(scenario, "parameters")));
  page.line("mechanism", mechanism_text(plan));
  page.list("note", list_at(plan, "notes"));
}

void print_counters(const Context& context, const Json& scenario) {
  const Json& counters = member(scenario, "counters");
  if (!counters.is_object() || counters.empty()) return;
  context.out << context.paint("counters", Colour::kBold) << '\n';
  Table table({"", "", ""});
  const auto row = [&](std::string_view key, std::string note = {}) {
    table.add({{std::string(key)}, {std::to_string(number_at(counters, key))}, {std::move(note), Colour::kDim}});
  };
  row("evaluated", "= unmatched + matched");
  row("unmatched");
  row("matched", "= all below");
  for (const std::string_view key : kPartsOfMatched) row(key);
  for (const std::string_view key : {"matched_segments", "injected_segments", "injected_jointly"}) {
    if (number_at(counters, key) > 0) row(key, "not part of the sum");
  }
  context.print(table, "  ");
  for (const std::string& sum : open_sums(counters)) {
    context.out << "  " << context.paint("does not close: " + sum, Colour::kRed) << '\n';
  }
}

/// The daemon warns of that by itself; said here where it does not.
bool warned_of_nothing(const Json& scenario) {
  return std::ranges::any_of(list_at(scenario, "warnings"),
                             [](const Json& warning) { return text_of(warning).starts_with("active, but no"); });
}

bool acts_on_nothing(const Json& scenario) {
  const Json& counters = member(scenario, "counters");
  return text_of(scenario, "state") == "active" && counters.is_object() && number_at(counters, "matched") == 0;
}

}  // namespace

bool is_final(const Json& scenario) {
  const std::string state = text_of(scenario, "state");
  return state == "completed" || state == "failed" || state == "aborted";
}

Exit verdict_of(const Json& scenario) {
  return text_of(scenario, "state") == "completed" ? Exit::kDone : Exit::kFailed;
}

Colour state_colour(std::string_view state) {
  if (state == "failed" || state == "aborted") return Colour::kRed;
  if (state == "active" || state == "completed") return Colour::kGreen;
  return Colour::kYellow;
}

std::string state_text(const Json& scenario) {
  const std::string reason = text_of(scenario, "end_reason");
  std::string state = text_of(scenario, "state");
  if (reason.empty() || reason == "none") return state;
  return state + " (" + reason + ")";
}

std::vector<std::string> open_sums(const Json& counters) {
  std::vector<std::string> open;
  const auto count = [&](std::string_view key) { return number_at(counters, key); };
  if (count("evaluated") != count("unmatched") + count("matched")) {
    open.push_back(fmt::format("evaluated {} != unmatched {} + matched {}", count("evaluated"), count("unmatched"),
                               count("matched")));
  }
  std::uint64_t parts = 0;
  for (const std::string_view key : kPartsOfMatched) parts += count(key);
  if (count("matched") != parts) {
    open.push_back(fmt::format("matched {} != {}, the sum of its parts", count("matched"), parts));
  }
  return open;
}

void print_list(const Context& context, const Json& scenarios, WallTime now) {
  Table table({"ID", "STATE", "KIND", "TARGET", "SEVERITY", "MATCHED", "INJECTED", "ENDS", "OWNER"});
  for (const Json& scenario : scenarios) {
    const Json& counters = member(scenario, "counters");
    const std::string state = text_of(scenario, "state");
    std::string shown = state_text(scenario);
    if (const std::string position = text_of(scenario, "queue_position"); !position.empty() && state == "queued") {
      shown += " #" + position;
    }
    if (text_of(scenario, "mode") == "shadow") shown += " shadow";
    const auto ends = parse_rfc3339(text_of(scenario, is_final(scenario) ? "ended_at" : "ends_at"));
    table.add({{text_of(scenario, "id")},
               {shown, state_colour(state)},
               {text_of(scenario, "kind")},
               {target_text(member(scenario, "target"))},
               {text_of(scenario, "severity")},
               {text_of(counters, "matched"), acts_on_nothing(scenario) ? Colour::kYellow : Colour::kNone},
               {text_of(counters, "injected")},
               {ends ? relative_time(*ends, now) : ""},
               {text_of(member(scenario, "owner"), "user")}});
  }
  context.print(table);
}

void print_touched(const Context& context, const Json& scenario) {
  Page page;
  add_plan(page, scenario);
  page.list("warning", list_at(scenario, "warnings"), Colour::kYellow);
  page.print(context);
}

void print_scenario(const Context& context, const Json& scenario, WallTime now) {
  const std::string state = text_of(scenario, "state");
  context.out << context.paint(printable(text_of(scenario, "id")), Colour::kBold) << "  "
              << printable(text_of(scenario, "kind")) << "  "
              << context.paint(printable(state_text(scenario)), state_colour(state)) << '\n';
  Page page;
  page.line("target", target_text(member(scenario, "target")));
  page.line("severity", text_of(scenario, "severity"));
  page.line("mode", text_of(scenario, "mode") == "shadow" ? "shadow: decides and counts, does not act" : "");
  page.line("duration", text_of(scenario, "duration"));
  page.line("seed", text_of(scenario, "seed"));
  page.line("reason", text_of(scenario, "reason"));
  page.line("owner", owner_text(member(scenario, "owner")));
  page.line("queue position", text_of(scenario, "queue_position"));
  page.line("starts", time_text(scenario, "expected_start_at", now));
  page.line("created", time_text(scenario, "created_at", now));
  page.line("started", time_text(scenario, "started_at", now));
  page.line(is_final(scenario) ? "was to end" : "ends", time_text(scenario, "ends_at", now));
  page.line("ended", time_text(scenario, "ended_at", now));
  add_plan(page, scenario);
  const Json& achieved = member(scenario, "achieved");
  if (achieved.is_object()) {
    for (const auto& [key, value] : achieved.items()) page.line("achieved " + key, text_of(value));
  }
  page.list("warning", list_at(scenario, "warnings"), Colour::kYellow);
  page.line("error", text_of(scenario, "error"), Colour::kRed);
  if (acts_on_nothing(scenario) && !warned_of_nothing(scenario)) {
    page.line("warning",
              fmt::format("active, but nothing has matched so far ({} evaluated): no traffic meets this target",
                          number_at(member(scenario, "counters"), "evaluated")),
              Colour::kYellow);
  }
  page.print(context);
  print_counters(context, scenario);
}

}  // namespace chaos::ctl
