#include "store/recorder.h"

#include <spdlog/spdlog.h>

namespace chaos {

Recorder::Recorder(std::unique_ptr<Database> database, std::unique_ptr<Audit> audit,
                   std::unique_ptr<ScenarioHistory> history, Retention retention)
    : database_(std::move(database)),
      audit_(std::move(audit)),
      history_(std::move(history)),
      retention_(retention),
      disk_("disk") {}

Recorder::~Recorder() = default;

Result<std::unique_ptr<Recorder>> Recorder::open(const std::filesystem::path& file, Retention retention) {
  auto database = open_store(file);
  if (!database) return std::unexpected(database.error());
  auto audit = Audit::create(**database);
  if (!audit) return std::unexpected(audit.error());
  auto history = ScenarioHistory::create(**database);
  if (!history) return std::unexpected(history.error());
  return std::unique_ptr<Recorder>(
      new Recorder(std::move(*database), std::move(*audit), std::move(*history), retention));
}

void Recorder::audit(AuditEntry entry) {
  audit(std::move(entry), [](const Status&) {});
}

void Recorder::audit(AuditEntry entry, std::move_only_function<void(Status)> done) {
  disk_.post([this, entry = std::move(entry), done = std::move(done)]() mutable {
    auto seq = audit_->append(entry);
    if (!seq) spdlog::critical("audit: {}", seq.error().message);
    audit_broken_.store(!seq);
    done(seq ? Status{} : std::unexpected(seq.error()));
  });
}

void Recorder::record(ScenarioRow row) {
  disk_.post([this, row = std::move(row)] {
    Status status = history_->upsert(row);
    if (status && row.ended_at) {
      auto pruned = history_->prune(retention_.scenarios, retention_.age, *row.ended_at);
      if (!pruned) status = std::unexpected(pruned.error());
    }
    if (!status) spdlog::error("scenario history: {}", status.error().message);
  });
}

void Recorder::flush(std::move_only_function<void()> done) { disk_.post(std::move(done)); }

void Recorder::list_audit(std::size_t limit, std::int64_t before,
                          std::move_only_function<void(Result<std::vector<AuditEntry>>)> reply) {
  disk_.post([this, limit, before, reply = std::move(reply)]() mutable { reply(audit_->list(limit, before)); });
}

Result<std::vector<std::string>> Recorder::adopt_orphans(std::string_view end_reason, std::string_view error,
                                                         WallTime now) {
  return history_->mark_orphans(end_reason, error, now);
}

void Recorder::list_ended(std::size_t limit, std::move_only_function<void(Result<std::vector<ScenarioRow>>)> reply) {
  disk_.post([this, limit, reply = std::move(reply)]() mutable { reply(history_->list_ended(limit)); });
}

void Recorder::find(std::string id, std::move_only_function<void(Result<ScenarioRow>)> reply) {
  disk_.post([this, id = std::move(id), reply = std::move(reply)]() mutable { reply(history_->find(id)); });
}

}  // namespace chaos
