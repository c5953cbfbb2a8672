// AuditVerifier: one walk over the audit log that checks its hash chain (audit_chain.h). Holds one row at a time and no
// lock between two steps, so that writing goes on meanwhile; looks at the rows that there were when it began. Disk
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "store/audit_chain.h"
#include "store/audit_entry.h"
#include "store/database.h"

namespace chaos {

enum class AuditFault : std::uint8_t {
  kAltered,     ///< a field or hash of the row is not what was written
  kRemoved,     ///< the row is missing
  kInserted,    ///< chaosd has not written the row
  kOutOfOrder,  ///< the row follows one that it was not written behind
  kHead,        ///< the rows are a chain, but not up to where the log says that it ends
};
/// "altered", "removed", "inserted", "out of order", "head does not match".
[[nodiscard]] std::string_view to_string(AuditFault fault);

struct AuditVerification {
  struct Problem {
    std::int64_t seq = 0;  ///< of the row
    AuditFault what{};
  };
  std::int64_t checked = 0;    ///< rows whose hash is right, up to the first problem
  std::int64_t unchained = 0;  ///< rows from before there was a chain; only that none is missing can be told of them
  AuditHash head{};            ///< of the last row that was checked
  std::optional<Problem> problem;  ///< the first one
  [[nodiscard]] bool ok() const { return !problem; }
};

class AuditVerifier {
 public:
  /// `database` (open_store) must outlive it. `remembered`: a row known for sure to have been written.
  static Result<AuditVerifier> begin(Database& database, std::optional<AuditHead> remembered);

  /// Goes on for about `budget`. True: done. Errors: those of the database, kInternal.
  Result<bool> step(std::chrono::nanoseconds budget);
  [[nodiscard]] const AuditVerification& result() const { return result_; }

 private:
  AuditVerifier(Statement rows, std::optional<AuditHead> remembered)
      : rows_(std::move(rows)), remembered_(remembered) {}
  Status find_end(Database& database);
  Result<bool> step_batch();
  Status check_row();
  Status check_links(const AuditEntry& entry, const AuditHash& previous, const AuditHash& hash);
  void check_end();
  void found(std::int64_t seq, AuditFault what);

  Statement rows_;
  std::optional<AuditHead> remembered_;
  std::optional<AuditHead> head_;  ///< as the file has it
  std::int64_t sequence_ = 0;      ///< the last seq that SQLite has given
  std::int64_t unchained_to_ = 0;  ///< the last seq without a hash
  std::int64_t end_ = 0;           ///< the last seq that there must be
  std::int64_t passed_ = 0;        ///< the last seq that has been looked at
  AuditHash last_ = kAuditGenesis;
  std::optional<AuditHash> before_last_;
  AuditVerification result_;
};

}  // namespace chaos
