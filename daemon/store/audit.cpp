#include "store/audit.h"

#include <algorithm>
#include <string>
#include <utility>

namespace chaos {

Result<std::unique_ptr<Audit>> Audit::create(Database& database) {
  const std::string columns(kAuditColumns);
  auto insert = database.prepare("INSERT INTO audit (" + columns +
                                 ", prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert) return with_context("audit", std::move(insert.error()));
  auto set_head = database.prepare("UPDATE audit_head SET seq = ?, hash = ?");
  if (!set_head) return with_context("audit", std::move(set_head.error()));
  auto head =
      database.prepare("SELECT seq, hash, (SELECT max(seq) FROM sqlite_sequence WHERE name = 'audit') FROM audit_head");
  if (!head) return with_context("audit", std::move(head.error()));
  auto select =
      database.prepare("SELECT " + columns + ", hash FROM audit WHERE ?1 <= 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2");
  if (!select) return with_context("audit", std::move(select.error()));
  return std::unique_ptr<Audit>(
      new Audit(database, std::move(*insert), std::move(*set_head), std::move(*head), std::move(*select)));
}

Audit::Audit(Database& database, Statement insert, Statement set_head, Statement head, Statement select)
    : database_(database),
      insert_(std::move(insert)),
      set_head_(std::move(set_head)),
      head_(std::move(head)),
      select_(std::move(select)) {}

Result<std::int64_t> Audit::append(const AuditEntry& entry) {
  auto head = insert(entry);
  if (head) last_ = *head;
  const std::lock_guard lock(mutex_);
  last_append_ = head ? Status{} : Status(with_context("write audit entry", std::move(head.error())));
  if (!last_append_) return std::unexpected(last_append_.error());
  return last_->seq;
}

Result<AuditHead> Audit::read_head() {
  auto row = head_.step();
  AuditHead head;
  std::optional<AuditHash> hash;
  std::int64_t sequence = 0;
  if (row && *row) {
    head.seq = head_.integer(0);
    hash = read_hash(head_, 1);
    sequence = head_.integer(2);
  }
  head_.reset();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!hash) {
    return fail(Errc::kInternal, "the head of the audit log is missing: somebody has changed the database", {}, {},
                "keep a copy of the file, then move it away and restart chaosd");
  }
  head.hash = *hash;
  // Where rows were cut off, their numbers are not used again: the gap stays to be seen.
  head.seq = std::max({head.seq, sequence, last_ ? last_->seq : 0});
  return head;
}

Result<AuditHead> Audit::insert(AuditEntry entry) {
  auto transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(std::move(transaction.error()));
  const auto head = read_head();
  if (!head) return std::unexpected(head.error());
  entry.seq = head->seq + 1;
  const AuditHash hash = audit_hash(head->hash, entry);

  insert_.bind(1, entry.seq)
      .bind(2, std::int64_t{entry.time.time_since_epoch().count()})
      .bind(3, entry.request_id)
      .bind(4, std::int64_t{entry.uid})
      .bind(5, entry.user)
      .bind(6, std::optional<std::int64_t>(entry.login_uid))
      .bind(7, std::int64_t{entry.pid})
      .bind(8, entry.comm)
      .bind(9, entry.socket)
      .bind(10, entry.action)
      .bind(11, entry.scenario_id)
      .bind(12, std::int64_t{entry.status})
      .bind(13, entry.detail)
      .bind(14, head->hash)
      .bind(15, hash);
  if (auto done = insert_.run(); !done) return std::unexpected(std::move(done.error()));
  if (auto done = set_head_.bind(1, entry.seq).bind(2, hash).run(); !done) {
    return std::unexpected(std::move(done.error()));
  }
  if (auto done = transaction->commit(); !done) return std::unexpected(std::move(done.error()));
  return AuditHead{entry.seq, hash};
}

Result<std::vector<AuditEntry>> Audit::list(std::size_t limit, std::int64_t before_seq) {
  select_.bind(1, before_seq).bind(2, static_cast<std::int64_t>(limit));
  std::vector<AuditEntry> entries;
  auto more = select_.step();
  for (; more && *more; more = select_.step()) {
    entries.push_back(read_entry(select_));
    entries.back().hash = read_hash(select_, 13);
  }
  select_.reset();
  if (!more) return with_context("read audit", std::move(more.error()));
  return entries;
}

Result<AuditVerifier> Audit::verifier() { return AuditVerifier::begin(database_, last_); }

Result<AuditVerification> Audit::verify() {
  auto verifier = this->verifier();
  if (!verifier) return std::unexpected(std::move(verifier.error()));
  auto done = verifier->step(std::chrono::nanoseconds::max());
  if (!done) return std::unexpected(std::move(done.error()));
  return verifier->result();
}

Status Audit::last_append() const {
  const std::lock_guard lock(mutex_);
  return last_append_;
}

}  // namespace chaos
