// Recorder: the store behind one disk thread. Everything returns at once; the work happens in order on the disk
// thread, which nothing of the data plane waits for. Any thread may call; replies come on the disk thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/worker.h"
#include "store/audit.h"
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

  void audit(AuditEntry entry);
  /// The same; `done` is called on the disk thread once it is durable, or with why it is not.
  void audit(AuditEntry entry, std::move_only_function<void(Status)> done);
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
  [[nodiscard]] bool audit_broken() const { return audit_broken_.load(); }

 private:
  Recorder(std::unique_ptr<Database> database, std::unique_ptr<Audit> audit, std::unique_ptr<ScenarioHistory> history,
           Retention retention);

  std::unique_ptr<Database> database_;
  std::unique_ptr<Audit> audit_;
  std::unique_ptr<ScenarioHistory> history_;
  Retention retention_;
  std::atomic<bool> audit_broken_{false};
  Worker disk_;  ///< last: joined before the rest goes
};

}  // namespace chaos
