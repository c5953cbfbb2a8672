// events: the daemon's event stream, one line (table) or one JSON object (json) per event.
#include <fmt/format.h>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/json_text.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

struct EventsOptions {
  bool follow = false;
  std::string since;
};

void events_options(CLI::App& app, EventsOptions& options) {
  app.add_flag("--follow", options.follow, "Print what happens from now on, until Ctrl-C");
  app.add_option("--since", options.since, "Begin after the event with this number; 0: with all that the daemon keeps")
      ->type_name("ID");
}

Json event_json(const SseEvent& event) {
  Json data = Json::parse(event.data, nullptr, /*allow_exceptions=*/false);
  if (data.is_discarded()) data = event.data;
  return {{"id", event.id}, {"event", event.type}, {"data", std::move(data)}};
}

/// The newest time that a scenario's record names: when the event happened.
std::string time_of(const Json& data) {
  for (const std::string_view key : {"time", "ended_at", "started_at", "created_at"}) {
    const std::string text = text_of(data, key);
    if (!text.empty()) return text;
  }
  return {};
}

void print_event(const Context& context, const Json& event) {
  const Json& data = member(event, "data");
  std::string line = fmt::format("{:>16}  {:<24}  ", printable(text_of(event, "id")), printable(time_of(data)));
  const std::string type = text_of(event, "event");
  line += printable(type) + "  ";
  if (type == "scenario") {
    const Json& counters = member(data, "counters");
    line += fmt::format("{}  {}  {}", printable(text_of(data, "id")), printable(text_of(data, "kind")),
                        context.paint(printable(state_text(data)), state_colour(text_of(data, "state"))));
    if (counters.is_object()) {
      line += fmt::format("  matched {}, injected {}", number_at(counters, "matched"), number_at(counters, "injected"));
    }
  } else if (type == "reset") {
    line += "some events before are no longer kept";
  } else {
    line += printable(text_of(data));
  }
  context.out << line << '\n';
}

Outcome<Exit> follow_events(Context& context, const std::string& since) {
  const Interrupt interrupt;
  const auto end =
      context.client.stream("/api/events", since,
                            {.on_event =
                                 [&](const SseEvent& event) {
                                   const Json json = event_json(event);
                                   if (context.json()) {
                                     context.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
                                   } else {
                                     print_event(context, json);
                                   }
                                   context.out.flush();
                                   return context.out.good();
                                 },
                             .on_tick = {},
                             .interrupt_fd = interrupt.fd()});
  if (!end) return std::unexpected(end.error());
  if (*end == Client::StreamEnd::kClosed) {
    return problem(Errc::kUnreachable, "the daemon has closed the event stream", {}, {},
                   "go on with --follow --since and the last number printed");
  }
  return Exit::kDone;
}

Outcome<Exit> past_events(Context& context, const std::string& since) {
  Json events = Json::array();
  const Interrupt interrupt;
  const auto end = context.client.stream("/api/events?follow=false", since.empty() ? "0" : since,
                                         {.on_event =
                                              [&](const SseEvent& event) {
                                                events.push_back(event_json(event));
                                                return true;
                                              },
                                          .on_tick = {},
                                          .interrupt_fd = interrupt.fd()});
  if (!end) return std::unexpected(end.error());
  if (*end == Client::StreamEnd::kInterrupted) return Exit::kInterrupted;
  if (context.json()) {
    context.print_json({{"events", std::move(events)}});
    return Exit::kDone;
  }
  for (const Json& event : events) print_event(context, event);
  if (events.empty()) context.out << "No events.\n";
  return Exit::kDone;
}

Outcome<Exit> run_events(Context& context, const EventsOptions& options) {
  if (!options.since.empty() && !parse_unsigned(options.since)) {
    return problem(Errc::kInvalid, "--since takes the number of an event", "--since", "a number");
  }
  return options.follow ? follow_events(context, options.since) : past_events(context, options.since);
}

}  // namespace

std::vector<Command> event_commands() {
  return {make_command<EventsOptions>("events", "Print what has happened, or follow what happens", events_options,
                                      run_events)};
}

}  // namespace chaos::ctl
