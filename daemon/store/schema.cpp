#include <array>

#include "store/database.h"

namespace chaos {
namespace {

// Times are Unix milliseconds. A migration that has been released is never edited: the next change is a new one.
// prev_hash and hash are for the hash chain over audit rows; they are NULL in rows written before there is one.
constexpr std::string_view kInitial = R"sql(
CREATE TABLE audit (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  time_ms     INTEGER NOT NULL,
  request_id  TEXT NOT NULL,
  uid         INTEGER NOT NULL,
  user        TEXT NOT NULL,
  login_uid   INTEGER,
  pid         INTEGER NOT NULL,
  comm        TEXT NOT NULL,
  socket      TEXT NOT NULL,
  action      TEXT NOT NULL,
  scenario_id TEXT NOT NULL,
  status      INTEGER NOT NULL,
  detail      TEXT NOT NULL,
  prev_hash   BLOB,
  hash        BLOB
);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TABLE scenarios (
  id            TEXT PRIMARY KEY,
  state         TEXT NOT NULL,
  end_reason    TEXT NOT NULL,
  kind          TEXT NOT NULL,
  created_at_ms INTEGER NOT NULL,
  ended_at_ms   INTEGER,
  json          TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX scenarios_by_end ON scenarios (ended_at_ms);
)sql";

// The last row of the audit log, so that a log that was cut short does not pass; `unchained` is the last seq without a
// hash. An older chaosd wrote rows up to the one in sqlite_sequence.
constexpr std::string_view kAuditHead = R"sql(
CREATE TABLE audit_head (
  id        INTEGER PRIMARY KEY CHECK (id = 1),
  seq       INTEGER NOT NULL,
  hash      BLOB NOT NULL,
  unchained INTEGER NOT NULL
);
INSERT INTO audit_head (id, seq, hash, unchained)
  SELECT 1, n, zeroblob(32), n FROM (SELECT coalesce(max(seq), 0) AS n FROM sqlite_sequence WHERE name = 'audit');
)sql";

constexpr std::array kMigrations = {kInitial, kAuditHead};

}  // namespace

Result<std::unique_ptr<Database>> open_store(const std::filesystem::path& file) {
  return Database::open(file, kMigrations);
}

}  // namespace chaos
