#include "store/recorder.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <ranges>
#include <utility>

namespace chaos {
namespace {

/// A check of the audit log lets other work through this often.
constexpr std::chrono::milliseconds kVerifySlice{20};

}  // namespace

Recorder::Recorder(std::unique_ptr<Database> database, std::unique_ptr<Audit> audit,
                   std::unique_ptr<ScenarioHistory> history, Retention retention)
    : database_(std::move(database)),
      audit_(std::move(audit)),
      writer_(*audit_),
      history_(std::move(history)),
      retention_(retention),
      disk_("disk") {}

Recorder::~Recorder() { ending_.store(true); }

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
  audit_first(std::move(entry), [](const Status&) {});  // the writer logs it, and keeps the entry
}

void Recorder::audit_first(AuditEntry entry, std::move_only_function<void(Status)> done) {
  disk_.post(
      [this, entry = std::move(entry), done = std::move(done)]() mutable { done(writer_.write(std::move(entry))); });
}

void Recorder::retry() {
  disk_.post([this] {
    [[maybe_unused]] const Status status = writer_.broken() ? writer_.retry() : Status{};
    if (!rows_.empty()) write_rows();
  });
}

void Recorder::record(ScenarioRow row) {
  disk_.post([this, row = std::move(row)]() mutable {
    rows_.insert_or_assign(row.id, std::move(row));
    write_rows();
  });
}

void Recorder::write_rows() {
  while (!rows_.empty()) {
    if (Status status = write_row(rows_.begin()->second); !status) {
      if (!rows_behind_.exchange(true)) spdlog::error("scenario history: {}", status.error().message);
      return;
    }
    rows_.erase(rows_.begin());
  }
  rows_behind_.store(false);
}

Status Recorder::write_row(const ScenarioRow& row) {
  if (Status status = history_->upsert(row); !status || !row.ended_at) return status;
  auto pruned = history_->prune(retention_.scenarios, retention_.age, *row.ended_at);
  if (!pruned) return std::unexpected(pruned.error());
  return {};
}

void Recorder::verify_audit(std::move_only_function<void(Result<AuditVerification>)> reply) {
  disk_.post([this, reply = std::move(reply)]() mutable {
    verify_waiting_.push_back(std::move(reply));
    if (!verifier_) begin_verification();
  });
}

void Recorder::begin_verification() {
  verify_running_ = std::exchange(verify_waiting_, {});
  auto verifier = audit_->verifier();
  if (!verifier) {
    for (auto& reply : std::exchange(verify_running_, {})) reply(std::unexpected(verifier.error()));
    return;
  }
  verifier_.emplace(std::move(*verifier));
  go_on_verifying();
}

void Recorder::go_on_verifying() {
  Result<bool> done = true;
  if (ending_.load()) {
    done = fail(Errc::kUnavailable, "chaosd is shutting down");
  } else {
    done = verifier_->step(kVerifySlice);
  }
  if (done && !*done) return disk_.post([this] { go_on_verifying(); });
  for (auto& reply : std::exchange(verify_running_, {})) {
    reply(done ? Result<AuditVerification>(verifier_->result()) : std::unexpected(done.error()));
  }
  verifier_.reset();
  if (!verify_waiting_.empty()) begin_verification();
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
  disk_.post([this, limit, reply = std::move(reply)]() mutable {
    auto rows = history_->list_ended(limit);
    if (!rows) return reply(std::move(rows));
    for (const ScenarioRow& row : rows_ | std::views::values) {
      if (row.ended_at) rows->insert(rows->begin(), row);
    }
    if (rows->size() > limit) rows->resize(limit);
    reply(std::move(rows));
  });
}

void Recorder::find(std::string id, std::move_only_function<void(Result<ScenarioRow>)> reply) {
  disk_.post([this, id = std::move(id), reply = std::move(reply)]() mutable {
    if (const auto row = rows_.find(id); row != rows_.end()) return reply(row->second);
    reply(history_->find(id));
  });
}

}  // namespace chaos
