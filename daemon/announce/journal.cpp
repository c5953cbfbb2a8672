#include "announce/journal.h"

#include <spdlog/spdlog.h>
#include <syslog.h>

#include <utility>

#include "announce/text.h"
#include "base/instance.h"

namespace chaos {
namespace {

JournalField field(std::string_view name, std::string_view value) { return {name, std::string(value)}; }

JournalField priority(int level) { return field("PRIORITY", std::to_string(level)); }

}  // namespace

Journal::Journal(std::string_view instance) : instance_(instance) {}

Journal::Fields Journal::fields_of(const Scenario& scenario, std::string_view message_id, std::string line) {
  Fields fields{field("MESSAGE", line),
                field("MESSAGE_ID", message_id),
                priority(LOG_NOTICE),
                field("CHAOS_SCENARIO_ID", scenario.id),
                field("CHAOS_KIND", scenario.request.kind),
                field("CHAOS_TARGET", describe_target(scenario.request.target)),
                field("CHAOS_STATE", to_string(scenario.state)),
                field("CHAOS_OWNER", scenario.owner.user)};
  if (scenario.end_reason != EndReason::kNone)
    fields.push_back(field("CHAOS_END_REASON", to_string(scenario.end_reason)));
  if (!scenario.request.reason.empty()) fields.push_back(field("CHAOS_REASON", scenario.request.reason));
  return fields;
}

void Journal::start(const Scenario& scenario) { send(fields_of(scenario, kStartMessage, start_line(scenario))); }

void Journal::end(const Scenario& scenario) { send(fields_of(scenario, kEndMessage, end_line(scenario))); }

void Journal::emergency_stop(std::string_view reason, std::span<const std::string> ids) {
  Fields fields{field("MESSAGE", emergency_line(reason, ids.size())), field("MESSAGE_ID", kEmergencyMessage),
                priority(LOG_CRIT), field("CHAOS_REASON", reason)};
  for (const std::string& id : ids) fields.push_back(field("CHAOS_SCENARIO_ID", id));
  send(std::move(fields));
}

void Journal::send(Fields fields) {
  fields.push_back(field("CHAOS_INSTANCE", instance_));
  fields.push_back(field("SYSLOG_IDENTIFIER", motd_name(instance_)));
  Status status;
  if (!socket_) {
    auto socket = JournalSocket::open();
    if (socket) {
      socket_.emplace(std::move(*socket));
    } else {
      status = std::unexpected(socket.error());
    }
  }
  if (socket_) status = socket_->send(fields);
  if (!status && !std::exchange(told_, true)) spdlog::error("journal record lost: {}", status.error().message);
}

}  // namespace chaos
