// Audit: the append-only record of who asked for what and what came of it. Lives in the store's database; the table
// itself refuses UPDATE and DELETE. Disk thread (base/worker.h) only, except last_append().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace chaos {

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
};

class Audit {
 public:
  /// `database` (open_store) must outlive this.
  static Result<std::unique_ptr<Audit>> create(Database& database);

  /// Durable when it returns (fsync). `entry.seq` is ignored. Returns the entry's seq.
  Result<std::int64_t> append(const AuditEntry& entry);
  /// Newest first, at most `limit`; `before_seq` > 0: only older ones than that (for paging).
  [[nodiscard]] Result<std::vector<AuditEntry>> list(std::size_t limit, std::int64_t before_seq = 0);
  /// How the last append went; good before the first one. Nothing new may start while this is an error. Any thread.
  [[nodiscard]] Status last_append() const;

 private:
  Audit(Database& database, Statement insert, Statement select);
  Result<std::int64_t> insert(const AuditEntry& entry);

  Database& database_;
  Statement insert_;
  Statement select_;
  mutable std::mutex mutex_;  ///< guards last_append_
  Status last_append_;
};

}  // namespace chaos
