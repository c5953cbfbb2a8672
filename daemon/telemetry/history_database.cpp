#include "telemetry/history_database.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace chaos {
namespace {

// Times are Unix milliseconds. A migration that has been released is never edited: the next change is a new one. A
// chunk is what unpack_aggregates() reads. A series goes with the last block that it is in.
constexpr std::string_view kInitial = R"sql(
CREATE TABLE blocks (
  id           INTEGER PRIMARY KEY,
  step_ms      INTEGER NOT NULL,
  first_end_ms INTEGER NOT NULL,
  first_ms     INTEGER NOT NULL,
  last_ms      INTEGER NOT NULL
);
CREATE INDEX blocks_by_end ON blocks (last_ms);
CREATE TABLE series (
  id         INTEGER PRIMARY KEY,
  metric     TEXT NOT NULL,
  labels     TEXT NOT NULL,
  type       INTEGER NOT NULL,
  unit       TEXT NOT NULL,
  scale      INTEGER NOT NULL,
  last_block INTEGER NOT NULL,
  UNIQUE (metric, labels, type, unit, scale)
);
CREATE INDEX series_by_block ON series (last_block);
CREATE TABLE chunks (
  block  INTEGER NOT NULL,
  series INTEGER NOT NULL,
  data   BLOB NOT NULL,
  PRIMARY KEY (block, series)
) WITHOUT ROWID;
)sql";
constexpr std::array kMigrations = {kInitial};

/// Of the size that is allowed, what is used when nothing is written: the next block finds room.
constexpr double kFull = 0.9;
/// SQLite empties its write-ahead log whenever nobody reads from it.
constexpr std::uint64_t kMostLog = std::uint64_t{32} << 20;

std::uint64_t size_of(const std::filesystem::path& file) {
  struct stat found {};
  return ::stat(file.c_str(), &found) == 0 ? static_cast<std::uint64_t>(found.st_size) : 0;
}

std::filesystem::path beside(std::filesystem::path file, const char* suffix) { return file += suffix; }

std::span<const std::byte> as_bytes(const std::vector<std::uint8_t>& bytes) { return std::as_bytes(std::span(bytes)); }

std::span<const std::uint8_t> as_numbers(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

HistoryDatabase::HistoryDatabase(std::unique_ptr<Database> database, std::filesystem::path file, HistoryLimits limits)
    : database_(std::move(database)), file_(std::move(file)), limits_(limits) {}

Result<std::unique_ptr<HistoryDatabase>> HistoryDatabase::open(const std::filesystem::path& file,
                                                               const HistoryLimits& limits) {
  auto database = Database::open(file, kMigrations);
  if (!database) return std::unexpected(std::move(database.error()));
  std::unique_ptr<HistoryDatabase> opened(new HistoryDatabase(std::move(*database), file, limits));
  if (Status status = opened->begin(); !status) return with_context(file.string(), std::move(status.error()));
  return opened;
}

Status HistoryDatabase::begin() {
  struct stat found {};
  if (::stat(file_.c_str(), &found) != 0) return fail_errno(file_.string());
  inode_ = found.st_ino;
  // It is not worth waiting for long: the next flush tries again.
  if (auto done = database_->execute("PRAGMA busy_timeout = 250; PRAGMA journal_size_limit = 4194304;"); !done)
    return done;
  const auto page_size = number("PRAGMA page_size", 0);
  if (!page_size) return std::unexpected(page_size.error());
  page_size_ = std::max<std::int64_t>(*page_size, 512);
  set_limits(limits_);
  return {};
}

bool HistoryDatabase::in_place() const {
  struct stat found {};
  return ::stat(file_.c_str(), &found) == 0 && found.st_ino == inode_;
}

void HistoryDatabase::set_limits(const HistoryLimits& limits) {
  limits_ = limits;
  const auto pages = static_cast<std::int64_t>(limits.bytes) / page_size_;
  // Not below what the file has already: prune() makes it smaller.
  [[maybe_unused]] const auto most = number(fmt::format("PRAGMA max_page_count = {}", pages), 0);
}

Result<std::int64_t> HistoryDatabase::number(std::string_view sql, std::int64_t parameter) {
  auto query = database_->prepare(sql);
  if (!query) return std::unexpected(query.error());
  if (sql.contains('?')) query->bind(1, parameter);
  const auto row = query->step();
  if (!row) return std::unexpected(row.error());
  return *row ? query->integer(0) : 0;
}

Result<std::uint64_t> HistoryDatabase::used() {
  const auto pages = number("PRAGMA page_count", 0);
  if (!pages) return std::unexpected(pages.error());
  const auto free = number("PRAGMA freelist_count", 0);
  if (!free) return std::unexpected(free.error());
  return static_cast<std::uint64_t>((*pages - *free) * page_size_);
}

std::uint64_t HistoryDatabase::bytes() const {
  return size_of(file_) + size_of(beside(file_, "-wal")) + size_of(beside(file_, "-shm"));
}

Status HistoryDatabase::write(std::span<HistoryBlock* const> blocks) {
  if (size_of(beside(file_, "-wal")) > kMostLog) {
    return fail(Errc::kUnavailable, fmt::format("{}-wal cannot be emptied", file_.string()), {}, {},
                "somebody has been reading the database for long; see fuser");
  }
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return std::unexpected(std::move(transaction.error()));
  std::vector<std::int64_t> ids(blocks.size());
  std::vector<std::vector<std::int64_t>> rows(blocks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (auto done = write_block(*blocks[i], ids[i], rows[i]); !done) return done;
  }
  if (auto done = transaction->commit(); !done) return done;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i]->id = ids[i];
    blocks[i]->written = blocks[i]->steps;
    auto row = rows[i].begin();
    for (auto& [name, column] : blocks[i]->columns) column.row = *row++;
  }
  return {};
}

Status HistoryDatabase::write_block(HistoryBlock& block, std::int64_t& id, std::vector<std::int64_t>& rows) {
  auto head = database_->prepare(
      "INSERT INTO blocks (id, step_ms, first_end_ms, first_ms, last_ms) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (id) DO UPDATE SET last_ms = excluded.last_ms");
  if (!head) return std::unexpected(head.error());
  head->bind(1, block.id == 0 ? std::nullopt : std::optional(block.id))
      .bind(2, block.step_ms)
      .bind(3, block.first_end_ms)
      .bind(4, block.first_ms)
      .bind(5, block.last_ms);
  if (auto done = head->run(); !done) return done;
  id = block.id == 0 ? database_->last_insert_id() : block.id;
  auto name = database_->prepare(
      "INSERT INTO series (metric, labels, type, unit, scale, last_block) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT "
      "(metric, labels, type, unit, scale) DO UPDATE SET last_block = excluded.last_block RETURNING id");
  if (!name) return std::unexpected(name.error());
  auto chunk = database_->prepare(
      "INSERT INTO chunks (block, series, data) VALUES (?, ?, ?) ON CONFLICT (block, series) DO UPDATE SET data = "
      "excluded.data");
  if (!chunk) return std::unexpected(chunk.error());
  for (auto& [key, column] : block.columns) {
    std::int64_t row = column.row;
    if (row == 0) {
      name->bind(1, column.name->metric)
          .bind(2, column.name->labels)
          .bind(3, static_cast<std::int64_t>(column.name->type))
          .bind(4, column.name->unit)
          .bind(5, std::int64_t{column.name->scale})
          .bind(6, id);
      const auto made = name->step();
      if (!made) return std::unexpected(made.error());
      row = name->integer(0);
      name->reset();
    }
    rows.push_back(row);
    const auto data = column.steps.finish();
    chunk->bind(1, id).bind(2, row).bind(3, as_bytes(data));
    if (auto done = chunk->run(); !done) return done;
  }
  return {};
}

bool HistoryDatabase::has(const HistoryBlock& block) {
  const auto first_ms = number("SELECT first_ms FROM blocks WHERE id = ?", block.id);
  return first_ms && *first_ms == block.first_ms;
}

Status HistoryDatabase::drop_block(std::int64_t id) {
  auto transaction = Transaction::begin(*database_);
  if (!transaction) return std::unexpected(std::move(transaction.error()));
  const auto sql = fmt::format(
      "DELETE FROM chunks WHERE block = {0}; DELETE FROM blocks WHERE id = {0}; "
      "DELETE FROM series WHERE last_block < (SELECT min(id) FROM blocks)",
      id);
  if (auto done = database_->execute(sql); !done) return done;
  return transaction->commit();
}

Status HistoryDatabase::prune(std::int64_t now_ms, std::uint64_t need) {
  constexpr std::string_view kTooOld =
      "SELECT id FROM blocks WHERE last_ms < ? AND id <> (SELECT max(id) FROM blocks) ORDER BY last_ms LIMIT 1";
  constexpr std::string_view kOldest =
      "SELECT id FROM blocks WHERE id <> (SELECT max(id) FROM blocks) ORDER BY id LIMIT 1";
  while (true) {
    const auto block = number(kTooOld, now_ms - limits_.retention.count());
    if (!block) return std::unexpected(block.error());
    if (*block == 0) break;
    if (auto done = drop_block(*block); !done) return done;
  }
  const auto enough = static_cast<std::uint64_t>(kFull * static_cast<double>(limits_.bytes));
  while (true) {
    const auto in_use = used();
    if (!in_use) return std::unexpected(in_use.error());
    if (*in_use + need <= enough) break;
    const auto block = number(kOldest, 0);
    if (!block) return std::unexpected(block.error());
    if (*block == 0) break;
    if (auto done = drop_block(*block); !done) return done;
  }
  if (size_of(file_) <= limits_.bytes) return {};
  // It was allowed to be larger once.
  if (auto done = database_->execute("VACUUM"); !done) return done;
  set_limits(limits_);
  return {};
}

Result<std::vector<HistoryDatabase::Series>> HistoryDatabase::series(const std::string& metric) {
  auto query = database_->prepare("SELECT id, labels, type, unit, scale FROM series WHERE metric = ? ORDER BY labels");
  if (!query) return std::unexpected(query.error());
  query->bind(1, metric);
  std::vector<Series> found;
  auto more = query->step();
  for (; more && *more; more = query->step()) {
    found.push_back({query->integer(0),
                     {metric, query->text(1), query->integer(2) == 0 ? MetricType::kCounter : MetricType::kGauge,
                      query->text(3), static_cast<std::uint32_t>(std::max<std::int64_t>(query->integer(4), 1))}});
  }
  if (!more) return std::unexpected(more.error());
  return found;
}

Status HistoryDatabase::read(const Series& series, std::int64_t from_ms, std::int64_t to_ms,
                             std::span<const std::int64_t> but, std::vector<HistoryStep>& steps) {
  auto query = database_->prepare(
      "SELECT blocks.id, step_ms, first_end_ms, first_ms, last_ms, data FROM blocks CROSS JOIN chunks ON chunks.block "
      "= "
      "blocks.id WHERE chunks.series = ?1 AND blocks.last_ms > ?2 AND blocks.first_ms <= ?3 ORDER BY blocks.id");
  if (!query) return std::unexpected(query.error());
  query->bind(1, series.row).bind(2, from_ms).bind(3, to_ms);
  auto more = query->step();
  for (; more && *more; more = query->step()) {
    HistoryBlock block;
    block.id = query->integer(0);
    block.step_ms = query->integer(1);
    block.first_end_ms = query->integer(2);
    block.first_ms = query->integer(3);
    block.last_ms = query->integer(4);
    if (std::ranges::find(but, block.id) != but.end()) continue;
    if (!unpack_column(block, as_numbers(query->blob(5)), series.name.type, from_ms, to_ms, steps)) {
      return fail(Errc::kInternal,
                  fmt::format("{}: block {} of {} is damaged", file_.string(), block.id, series.name.metric));
    }
  }
  if (!more) return std::unexpected(more.error());
  return {};
}

Result<std::int64_t> HistoryDatabase::oldest_ms() {
  return number("SELECT first_ms FROM blocks ORDER BY last_ms LIMIT 1", 0);
}

}  // namespace chaos
