#include "store/scenarios_history.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace chaos {
namespace {

constexpr std::string_view kColumns = "id, state, end_reason, kind, created_at_ms, ended_at_ms, json";

std::int64_t to_ms(WallTime time) { return time.time_since_epoch().count(); }

WallTime from_ms(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

ScenarioRow read_row(const Statement& statement) {
  ScenarioRow row;
  row.id = statement.text(0);
  row.state = statement.text(1);
  row.end_reason = statement.text(2);
  row.kind = statement.text(3);
  row.created_at = from_ms(statement.integer(4));
  if (const auto ended = statement.optional_integer(5)) row.ended_at = from_ms(*ended);
  row.json = statement.text(6);
  return row;
}

Result<std::vector<ScenarioRow>> read_all(Statement& statement) {
  std::vector<ScenarioRow> rows;
  auto more = statement.step();
  for (; more && *more; more = statement.step()) rows.push_back(read_row(statement));
  statement.reset();
  if (!more) return with_context("read scenarios", std::move(more.error()));
  return rows;
}

// Text that is no JSON object stays as it is: the columns are what counts.
std::string with_end(const std::string& text, std::string_view end_reason, std::string_view error, WallTime ended_at) {
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return text;
  json["state"] = "failed";
  json["end_reason"] = end_reason;
  json["error"] = error;
  json["ended_at"] = format_rfc3339(ended_at);
  if (json.contains("queue_position")) json["queue_position"] = nullptr;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<std::unique_ptr<ScenarioHistory>> ScenarioHistory::create(Database& database) {
  const std::string columns(kColumns);
  auto upsert = database.prepare("INSERT INTO scenarios (" + columns +
                                 ") VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state,"
                                 " end_reason = excluded.end_reason, kind = excluded.kind, created_at_ms = "
                                 "excluded.created_at_ms, ended_at_ms = excluded.ended_at_ms, json = excluded.json");
  if (!upsert) return with_context("scenario history", std::move(upsert.error()));
  auto find = database.prepare("SELECT " + columns + " FROM scenarios WHERE id = ?");
  if (!find) return with_context("scenario history", std::move(find.error()));
  auto list = database.prepare("SELECT " + columns +
                               " FROM scenarios WHERE ended_at_ms IS NOT NULL AND (?1 = '' OR id < ?1) ORDER BY id DESC"
                               " LIMIT ?2");
  if (!list) return with_context("scenario history", std::move(list.error()));
  return std::unique_ptr<ScenarioHistory>(
      new ScenarioHistory(database, std::move(*upsert), std::move(*find), std::move(*list)));
}

ScenarioHistory::ScenarioHistory(Database& database, Statement upsert, Statement find, Statement list)
    : database_(database), upsert_(std::move(upsert)), find_(std::move(find)), list_(std::move(list)) {}

Status ScenarioHistory::upsert(const ScenarioRow& row) {
  std::optional<std::int64_t> ended_at;
  if (row.ended_at) ended_at = to_ms(*row.ended_at);
  upsert_.bind(1, row.id)
      .bind(2, row.state)
      .bind(3, row.end_reason)
      .bind(4, row.kind)
      .bind(5, to_ms(row.created_at))
      .bind(6, ended_at)
      .bind(7, row.json);
  if (auto done = upsert_.run(); !done) return with_context("write scenario " + row.id, std::move(done.error()));
  return {};
}

Result<ScenarioRow> ScenarioHistory::find(std::string_view id) {
  find_.bind(1, id);
  auto rows = read_all(find_);
  if (!rows) return std::unexpected(std::move(rows.error()));
  if (rows->empty()) return fail(Errc::kNotFound, "no scenario " + std::string(id), "id");
  return std::move(rows->front());
}

Result<std::vector<ScenarioRow>> ScenarioHistory::list_ended(std::size_t limit, std::string_view before_id) {
  list_.bind(1, before_id).bind(2, static_cast<std::int64_t>(limit));
  return read_all(list_);
}

Result<std::vector<std::string>> ScenarioHistory::mark_orphans(std::string_view end_reason, std::string_view error,
                                                               WallTime now) {
  auto transaction = Transaction::begin(database_);
  if (!transaction) return std::unexpected(std::move(transaction.error()));
  auto select =
      database_.prepare("SELECT " + std::string(kColumns) + " FROM scenarios WHERE ended_at_ms IS NULL ORDER BY id");
  if (!select) return std::unexpected(std::move(select.error()));
  auto rows = read_all(*select);
  if (!rows) return std::unexpected(std::move(rows.error()));

  std::vector<std::string> ids;
  for (ScenarioRow& row : *rows) {
    row.state = "failed";
    row.end_reason = end_reason;
    row.ended_at = now;
    row.json = with_end(row.json, end_reason, error, now);
    if (auto done = upsert(row); !done) return std::unexpected(std::move(done.error()));
    ids.push_back(row.id);
  }
  if (auto done = transaction->commit(); !done) return std::unexpected(std::move(done.error()));
  return ids;
}

Result<std::int64_t> ScenarioHistory::prune(std::size_t max_rows, std::chrono::seconds max_age, WallTime now) {
  auto erase = database_.prepare(
      "DELETE FROM scenarios WHERE ended_at_ms IS NOT NULL AND (ended_at_ms < ?1 OR id NOT IN "
      "(SELECT id FROM scenarios WHERE ended_at_ms IS NOT NULL ORDER BY id DESC LIMIT ?2))");
  if (!erase) return std::unexpected(std::move(erase.error()));
  erase->bind(1, to_ms(now - max_age)).bind(2, static_cast<std::int64_t>(max_rows));
  if (auto done = erase->run(); !done) return with_context("prune scenarios", std::move(done.error()));
  return database_.changes();
}

}  // namespace chaos
