// AuditEntry: one row of the audit log as a value, and the order of its columns. Values; any thread, but for
// read_entry.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "store/database.h"

namespace chaos {

/// SHA-256.
using AuditHash = std::array<std::byte, 32>;

struct AuditEntry {
  std::int64_t seq = 0;  ///< given by append: 1, 2, …, never used twice
  WallTime time{};
  std::string request_id;
  uid_t uid = 0;
  std::string user;
  std::optional<uid_t> login_uid;
  pid_t pid = 0;
  std::string comm;
  std::string socket;       ///< path of the socket it came in by; empty for actions of the daemon itself
  std::string action;       ///< "scenario.start", "emergency_stop", …
  std::string scenario_id;  ///< empty if it concerns none
  int status = 0;           ///< as an HTTP status: 200 done, 409 refused, …
  std::string detail;
  std::optional<AuditHash> hash{};  ///< given by append, see audit_chain.h; empty in rows from before the chain
};

/// What read_entry() expects of a SELECT, as columns 0 to 12.
inline constexpr std::string_view kAuditColumns =
    "seq, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action, scenario_id, status, detail";

/// The statement's current row, without the hash. The thread of its database.
[[nodiscard]] AuditEntry read_entry(const Statement& row);
/// A hash; empty if the column is NULL or not 32 bytes long.
[[nodiscard]] std::optional<AuditHash> read_hash(const Statement& row, int column);

}  // namespace chaos
