// Audit: the append-only record of who asked for what and what came of it. Lives in the store's database; the table
// itself refuses UPDATE and DELETE, and a hash chain (audit_chain.h) gives away who gets round that. Disk thread
// (base/worker.h) only, except last_append().
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "store/audit_chain.h"
#include "store/audit_entry.h"
#include "store/audit_verifier.h"
#include "store/database.h"

namespace chaos {

class Audit {
 public:
  /// `database` (open_store) must outlive this.
  static Result<std::unique_ptr<Audit>> create(Database& database);

  /// Durable when it returns (fsync), with the new head in the same transaction. `entry.seq` and `entry.hash` are
  /// ignored; last() has them then. Returns the entry's seq.
  Result<std::int64_t> append(const AuditEntry& entry);
  /// Newest first, at most `limit`; `before_seq` > 0: only older ones than that (for paging).
  [[nodiscard]] Result<std::vector<AuditEntry>> list(std::size_t limit, std::int64_t before_seq = 0);
  /// A check of all rows that there are now, to be run by its step(). What this process has appended must be there
  /// unchanged, whatever the file says about its end.
  [[nodiscard]] Result<AuditVerifier> verifier();
  /// verifier(), run to its end at once.
  [[nodiscard]] Result<AuditVerification> verify();
  /// What append() has written last; empty before the first time.
  [[nodiscard]] const std::optional<AuditHead>& last() const { return last_; }
  /// How the last append went; good before the first one. Nothing new may start while this is an error. Any thread.
  [[nodiscard]] Status last_append() const;

 private:
  Audit(Database& database, Statement insert, Statement set_head, Statement head, Statement select);
  Result<AuditHead> insert(AuditEntry entry);
  Result<AuditHead> read_head();

  Database& database_;
  Statement insert_;
  Statement set_head_;
  Statement head_;
  Statement select_;
  std::optional<AuditHead> last_;
  mutable std::mutex mutex_;  ///< guards last_append_
  Status last_append_;
};

}  // namespace chaos
