#include "store/audit_journal.h"

#include <fmt/format.h>
#include <syslog.h>

#include <utility>

#include "store/audit_chain.h"

namespace chaos {
namespace {

int priority_of(int status) {
  if (status >= 500) return LOG_ERR;
  return status >= 400 ? LOG_WARNING : LOG_NOTICE;
}

}  // namespace

std::vector<JournalField> journal_fields(const AuditEntry& entry, const std::string& identifier) {
  std::string message =
      fmt::format("audit {}: {} by {} (uid {}): {}", entry.seq, entry.action, entry.user, entry.uid, entry.status);
  if (!entry.detail.empty()) message += ": " + entry.detail;
  std::vector<JournalField> fields = {
      {"MESSAGE", std::move(message)},
      {"MESSAGE_ID", std::string(kAuditMessageId)},
      {"PRIORITY", std::to_string(priority_of(entry.status))},
      {"SYSLOG_IDENTIFIER", identifier},
      {"CHAOS_AUDIT_SEQ", std::to_string(entry.seq)},
      {"CHAOS_ACTION", entry.action},
      {"CHAOS_STATUS", std::to_string(entry.status)},
      {"CHAOS_UID", std::to_string(entry.uid)},
  };
  if (entry.hash) fields.push_back({"CHAOS_AUDIT_HASH", to_hex(*entry.hash)});
  if (entry.login_uid) fields.push_back({"CHAOS_LOGIN_UID", std::to_string(*entry.login_uid)});
  const auto put = [&fields](std::string_view name, const std::string& value) {
    if (!value.empty()) fields.push_back({name, value});
  };
  put("CHAOS_COMM", entry.comm);
  put("CHAOS_REQUEST_ID", entry.request_id);
  put("CHAOS_SCENARIO_ID", entry.scenario_id);
  return fields;
}

Result<AuditJournal> AuditJournal::open(std::string identifier, std::filesystem::path socket) {
  auto opened = JournalSocket::open(std::move(socket));
  if (!opened) return std::unexpected(std::move(opened.error()));
  return AuditJournal(std::move(*opened), std::move(identifier));
}

Status AuditJournal::write(const AuditEntry& entry) const { return socket_.send(journal_fields(entry, identifier_)); }

}  // namespace chaos
