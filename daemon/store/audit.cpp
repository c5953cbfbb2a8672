#include "store/audit.h"

#include <utility>

namespace chaos {

Result<std::unique_ptr<Audit>> Audit::create(Database& database) {
  auto insert = database.prepare(
      "INSERT INTO audit (time_ms, request_id, uid, user, login_uid, pid, comm, socket, action, scenario_id, status, "
      "detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert) return with_context("audit", std::move(insert.error()));
  auto select = database.prepare(
      "SELECT seq, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action, scenario_id, status, detail "
      "FROM audit WHERE ?1 <= 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2");
  if (!select) return with_context("audit", std::move(select.error()));
  return std::unique_ptr<Audit>(new Audit(database, std::move(*insert), std::move(*select)));
}

Audit::Audit(Database& database, Statement insert, Statement select)
    : database_(database), insert_(std::move(insert)), select_(std::move(select)) {}

Result<std::int64_t> Audit::append(const AuditEntry& entry) {
  auto seq = insert(entry);
  const std::lock_guard lock(mutex_);
  last_append_ = seq ? Status{} : Status(std::unexpected(seq.error()));
  return seq;
}

Result<std::int64_t> Audit::insert(const AuditEntry& entry) {
  insert_.bind(1, std::int64_t{entry.time.time_since_epoch().count()})
      .bind(2, entry.request_id)
      .bind(3, std::int64_t{entry.uid})
      .bind(4, entry.user)
      .bind(5, std::optional<std::int64_t>(entry.login_uid))
      .bind(6, std::int64_t{entry.pid})
      .bind(7, entry.comm)
      .bind(8, entry.socket)
      .bind(9, entry.action)
      .bind(10, entry.scenario_id)
      .bind(11, std::int64_t{entry.status})
      .bind(12, entry.detail);
  if (auto done = insert_.run(); !done) return with_context("write audit entry", std::move(done.error()));
  return database_.last_insert_id();
}

Result<std::vector<AuditEntry>> Audit::list(std::size_t limit, std::int64_t before_seq) {
  select_.bind(1, before_seq).bind(2, static_cast<std::int64_t>(limit));
  std::vector<AuditEntry> entries;
  auto more = select_.step();
  for (; more && *more; more = select_.step()) {
    AuditEntry entry;
    entry.seq = select_.integer(0);
    entry.time = WallTime(std::chrono::milliseconds(select_.integer(1)));
    entry.request_id = select_.text(2);
    entry.uid = static_cast<uid_t>(select_.integer(3));
    entry.user = select_.text(4);
    if (const auto login = select_.optional_integer(5)) entry.login_uid = static_cast<uid_t>(*login);
    entry.pid = static_cast<pid_t>(select_.integer(6));
    entry.comm = select_.text(7);
    entry.socket = select_.text(8);
    entry.action = select_.text(9);
    entry.scenario_id = select_.text(10);
    entry.status = static_cast<int>(select_.integer(11));
    entry.detail = select_.text(12);
    entries.push_back(std::move(entry));
  }
  select_.reset();
  if (!more) return with_context("read audit", std::move(more.error()));
  return entries;
}

Status Audit::last_append() const {
  const std::lock_guard lock(mutex_);
  return last_append_;
}

}  // namespace chaos
