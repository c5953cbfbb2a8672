#include "store/audit_entry.h"

#include <algorithm>

namespace chaos {

AuditEntry read_entry(const Statement& row) {
  AuditEntry entry;
  entry.seq = row.integer(0);
  entry.time = WallTime(std::chrono::milliseconds(row.integer(1)));
  entry.request_id = row.text(2);
  entry.uid = static_cast<uid_t>(row.integer(3));
  entry.user = row.text(4);
  if (const auto login = row.optional_integer(5)) entry.login_uid = static_cast<uid_t>(*login);
  entry.pid = static_cast<pid_t>(row.integer(6));
  entry.comm = row.text(7);
  entry.socket = row.text(8);
  entry.action = row.text(9);
  entry.scenario_id = row.text(10);
  entry.status = static_cast<int>(row.integer(11));
  entry.detail = row.text(12);
  return entry;
}

std::optional<AuditHash> read_hash(const Statement& row, int column) {
  const auto bytes = row.blob(column);
  AuditHash hash{};
  if (bytes.size() != hash.size()) return std::nullopt;
  std::ranges::copy(bytes, hash.begin());
  return hash;
}

}  // namespace chaos
