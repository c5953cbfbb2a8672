#include "store/audit_verifier.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace chaos {
namespace {

constexpr std::int64_t kBatch = 64;
constexpr int kPrevHash = 13;
constexpr int kHash = 14;
constexpr int kWellTyped = 15;

// A column of SQLite takes any type: '0 and more' in an integer column reads as 0, and would have the same hash.
constexpr std::string_view kRows =
    ", prev_hash, hash, typeof(time_ms) = 'integer' AND typeof(request_id) = 'text' AND typeof(uid) = 'integer' AND "
    "typeof(user) = 'text' AND typeof(login_uid) IN ('integer', 'null') AND typeof(pid) = 'integer' AND "
    "typeof(comm) = 'text' AND typeof(socket) = 'text' AND typeof(action) = 'text' AND typeof(scenario_id) = 'text' "
    "AND typeof(status) = 'integer' AND typeof(detail) = 'text' AND typeof(prev_hash) IN ('blob', 'null') AND "
    "typeof(hash) IN ('blob', 'null') AND uid BETWEEN 0 AND 4294967295 AND pid BETWEEN -2147483648 AND 2147483647 AND "
    "status BETWEEN -2147483648 AND 2147483647 AND (login_uid IS NULL OR login_uid BETWEEN 0 AND 4294967295) "
    "FROM audit WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";

Result<std::int64_t> number(Database& database, std::string_view sql) {
  auto statement = database.prepare(sql);
  if (!statement) return std::unexpected(std::move(statement.error()));
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? statement->integer(0) : 0;
}

}  // namespace

std::string_view to_string(AuditFault fault) {
  switch (fault) {
    case AuditFault::kAltered:
      return "altered";
    case AuditFault::kRemoved:
      return "removed";
    case AuditFault::kInserted:
      return "inserted";
    case AuditFault::kOutOfOrder:
      return "out of order";
    case AuditFault::kHead:
      return "head does not match";
  }
  return "unknown";
}

Result<AuditVerifier> AuditVerifier::begin(Database& database, std::optional<AuditHead> remembered) {
  auto rows = database.prepare("SELECT " + std::string(kAuditColumns) + std::string(kRows));
  if (!rows) return with_context("verify audit", std::move(rows.error()));
  AuditVerifier verifier(std::move(*rows), remembered);
  if (Status status = verifier.find_end(database); !status) return with_context("verify audit", status.error());
  return verifier;
}

Status AuditVerifier::find_end(Database& database) {
  // One transaction: nobody may append between two looks.
  auto transaction = Transaction::begin(database);
  if (!transaction) return std::unexpected(std::move(transaction.error()));
  auto head = database.prepare("SELECT seq, hash, unchained FROM audit_head");
  if (!head) return std::unexpected(std::move(head.error()));
  const auto row = head->step();
  if (!row) return std::unexpected(row.error());
  if (const auto hash = *row ? read_hash(*head, 1) : std::nullopt) {
    head_ = AuditHead{head->integer(0), *hash};
    unchained_to_ = head->integer(2);
  }
  head->reset();
  const auto sequence = number(database, "SELECT max(seq) FROM sqlite_sequence WHERE name = 'audit'");
  const auto newest = number(database, "SELECT max(seq) FROM audit");
  if (!sequence) return std::unexpected(sequence.error());
  if (!newest) return std::unexpected(newest.error());
  sequence_ = *sequence;
  end_ = std::max({head_ ? head_->seq : 0, sequence_, *newest, remembered_ ? remembered_->seq : 0});
  if (!head_) found(end_, AuditFault::kHead);
  return {};
}

Result<bool> AuditVerifier::step(std::chrono::nanoseconds budget) {
  const auto begun = std::chrono::steady_clock::now();
  do {
    if (!result_.ok()) return true;
    auto more = step_batch();
    if (!more) return with_context("verify audit", std::move(more.error()));
    if (!*more) {
      if (result_.ok()) check_end();
      return true;
    }
  } while (std::chrono::steady_clock::now() - begun < budget);
  return false;
}

/// False: there are no more rows. The statement is reset behind it: one that is not finished would keep a snapshot, and
/// the write-ahead log could not be emptied.
Result<bool> AuditVerifier::step_batch() {
  // The first time also what has a number that is never given.
  const std::int64_t from = passed_ == 0 ? std::numeric_limits<std::int64_t>::min() : passed_ + 1;
  rows_.bind(1, from).bind(2, end_).bind(3, kBatch);
  std::int64_t count = 0;
  auto more = rows_.step();
  Status status;
  for (; more && *more && status && result_.ok(); more = rows_.step()) {
    ++count;
    status = check_row();
  }
  rows_.reset();
  if (!more) return std::unexpected(std::move(more.error()));
  if (!status) return std::unexpected(std::move(status.error()));
  return count == kBatch;
}

Status AuditVerifier::check_row() {
  const AuditEntry entry = read_entry(rows_);
  const std::int64_t expected = passed_ + 1;
  if (entry.seq > expected) {
    found(expected, AuditFault::kRemoved);
    return {};
  }
  if (entry.seq < expected) {
    found(entry.seq, AuditFault::kInserted);
    return {};
  }
  passed_ = entry.seq;
  const bool bare = rows_.is_null(kPrevHash) && rows_.is_null(kHash);
  const auto previous = read_hash(rows_, kPrevHash);
  const auto hash = read_hash(rows_, kHash);
  const bool was_chained = remembered_ && remembered_->seq == entry.seq;
  if (entry.seq <= unchained_to_ && bare && !was_chained) {
    ++result_.unchained;
  } else if (entry.seq > unchained_to_ && bare) {
    found(entry.seq, AuditFault::kInserted);
  } else if (entry.seq <= unchained_to_ || rows_.integer(kWellTyped) == 0 || !previous || !hash) {
    found(entry.seq, AuditFault::kAltered);
  } else {
    return check_links(entry, *previous, *hash);
  }
  return {};
}

Status AuditVerifier::check_links(const AuditEntry& entry, const AuditHash& previous, const AuditHash& hash) {
  const AuditHash linked = audit_hash(last_, entry);
  if (previous == last_ && linked == hash) {
    if (remembered_ && remembered_->seq == entry.seq && remembered_->hash != hash) {
      found(entry.seq, AuditFault::kAltered);
    } else if (entry.seq > head_->seq) {
      found(head_->seq, AuditFault::kHead);
    } else {
      before_last_ = std::exchange(last_, hash);
      result_.head = hash;
      ++result_.checked;
    }
    return {};
  }
  const AuditHash alone = audit_hash(previous, entry);
  if (previous == last_ || linked == hash) {
    found(entry.seq, AuditFault::kAltered);
  } else if (before_last_ && previous == *before_last_) {
    found(entry.seq - 1, AuditFault::kInserted);
  } else if (before_last_ && alone == hash) {
    // The row is whole, but was written behind another one than the one that is there.
    found(entry.seq - 1, AuditFault::kAltered);
  } else {
    found(entry.seq, AuditFault::kOutOfOrder);
  }
  return {};
}

void AuditVerifier::check_end() {
  if (passed_ < end_) {
    found(passed_ + 1, AuditFault::kRemoved);
  } else if (head_->seq != end_ || head_->hash != last_ || sequence_ != end_) {
    found(head_->seq, AuditFault::kHead);
  }
}

void AuditVerifier::found(std::int64_t seq, AuditFault what) { result_.problem = {seq, what}; }

}  // namespace chaos
