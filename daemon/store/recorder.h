// Recorder: the store behind one disk thread. Everything returns at once; the work happens in order on the disk
// thread, which nothing of the data plane waits for. Any thread may call; replies come on the disk thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/worker.h"
#include "store/audit.h"
#include "store/audit_writer.h"
#include "store/scenarios_history.h"

namespace chaos {

class Recorder {
 public:
  struct Retention {
    std::size_t scenarios = 10'000;
    std::chrono::seconds age = std::chrono::hours(720);
  };
  /// Opens or creates the database (blocks; before the loop runs). `moved_aside()` tells about a damaged old file.
  static Result<std::unique_ptr<Recorder>> open(const std::filesystem::path& file, Retention retention);
  ~Recorder();

  /// See AuditWriter::on_written: disk thread. Before the loop runs, and before anything is recorded.
  void on_audited(std::function<void(const AuditEntry&)> observer) { writer_.on_written(std::move(observer)); }
  void audit(AuditEntry entry);
  /// Audit before action: `done` gets on the disk thread whether the entry is durable. It is written later if not.
  void audit_first(AuditEntry entry, std::move_only_function<void(Status)> done);
  /// Writes what could not be written before.
  void retry();
  /// Checks all that is there now (AuditVerifier), in slices of 20 ms that let other work through. One check at a time:
  /// who asks while one runs gets the answer of the next. Errors: kInternal; kUnavailable if the recorder ends before.
  void verify_audit(std::move_only_function<void(Result<AuditVerification>)> reply);
  void record(ScenarioRow row);
  /// Calls `done` on the disk thread once everything that came before has been written, or has failed to be.
  void flush(std::move_only_function<void()> done);
  /// Ended scenarios, newest first. Sees every record() that came before.
  void list_ended(std::size_t limit, std::move_only_function<void(Result<std::vector<ScenarioRow>>)> reply);
  void find(std::string id, std::move_only_function<void(Result<ScenarioRow>)> reply);
  void list_audit(std::size_t limit, std::int64_t before,
                  std::move_only_function<void(Result<std::vector<AuditEntry>>)> reply);

  /// Before the loop runs: what a dead daemon left unfinished is marked failed; the ids.
  Result<std::vector<std::string>> adopt_orphans(std::string_view end_reason, std::string_view error, WallTime now);
  [[nodiscard]] const std::optional<Error>& moved_aside() const { return database_->moved_aside(); }

  /// True while the audit log cannot be written. Any thread.
  [[nodiscard]] bool audit_broken() const { return writer_.broken(); }
  /// True while anything waits to be written: retry() may help. Any thread.
  [[nodiscard]] bool behind() const { return writer_.broken() || rows_behind_.load(); }

 private:
  Recorder(std::unique_ptr<Database> database, std::unique_ptr<Audit> audit, std::unique_ptr<ScenarioHistory> history,
           Retention retention);

  using VerifyReply = std::move_only_function<void(Result<AuditVerification>)>;
  void write_rows();
  Status write_row(const ScenarioRow& row);
  void begin_verification();
  void go_on_verifying();

  std::unique_ptr<Database> database_;
  std::unique_ptr<Audit> audit_;
  AuditWriter writer_;
  std::unique_ptr<ScenarioHistory> history_;
  Retention retention_;
  std::map<std::string, ScenarioRow> rows_;  ///< not written yet, by id; disk thread
  std::atomic<bool> rows_behind_{false};
  std::optional<AuditVerifier> verifier_;    ///< while a check runs; disk thread
  std::vector<VerifyReply> verify_running_;  ///< for the check that runs; disk thread
  std::vector<VerifyReply> verify_waiting_;  ///< for the one after it; disk thread
  std::atomic<bool> ending_{false};
  Worker disk_;  ///< last: joined before the rest goes
};

}  // namespace chaos
