// AuditJournal: every row of the audit log as a journal entry too, so that a copy of its hash is where who changes the
// database does not reach. Owns the socket; disk thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/journal.h"
#include "base/result.h"
#include "store/audit_entry.h"

namespace chaos {

/// MESSAGE_ID of all of them (journald.fields: systemd.journal-fields(7)).
inline constexpr std::string_view kAuditMessageId = "2df3b76f18784a559df94a254ef055f5";

/// CHAOS_AUDIT_SEQ, CHAOS_AUDIT_HASH (hex), CHAOS_ACTION, CHAOS_STATUS, CHAOS_UID, CHAOS_LOGIN_UID, CHAOS_COMM,
/// CHAOS_REQUEST_ID, CHAOS_SCENARIO_ID (those that the entry has), MESSAGE, MESSAGE_ID, SYSLOG_IDENTIFIER and PRIORITY:
/// notice, from status 400 on warning, from 500 on err.
[[nodiscard]] std::vector<JournalField> journal_fields(const AuditEntry& entry, const std::string& identifier);

class AuditJournal {
 public:
  /// `identifier`: of the daemon, as in its log.
  static Result<AuditJournal> open(std::string identifier, std::filesystem::path socket = kJournalSocket);
  /// Never waits. What journald does not take is lost there; its CHAOS_AUDIT_SEQ is then missing. Errors: as
  /// JournalSocket::send.
  Status write(const AuditEntry& entry) const;

 private:
  AuditJournal(JournalSocket socket, std::string identifier)
      : socket_(std::move(socket)), identifier_(std::move(identifier)) {}
  JournalSocket socket_;
  std::string identifier_;
};

}  // namespace chaos
