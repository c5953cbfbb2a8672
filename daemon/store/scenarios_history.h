// ScenarioHistory: the scenarios of this host over restarts, as JSON with a few columns to search by. The JSON is
// api/schema's; the store does not look inside, except in mark_orphans. Disk thread (base/worker.h) only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/database.h"

namespace chaos {

struct ScenarioRow {
  std::string id;
  std::string state;
  std::string end_reason;  ///< empty until it ends
  std::string kind;
  WallTime created_at{};
  std::optional<WallTime> ended_at;  ///< set exactly when the state is final
  std::string json;                  ///< the whole scenario
};

class ScenarioHistory {
 public:
  /// `database` (open_store) must outlive this.
  static Result<std::unique_ptr<ScenarioHistory>> create(Database& database);

  /// Inserts, or replaces the row of that id.
  Status upsert(const ScenarioRow& row);
  /// Error: kNotFound.
  [[nodiscard]] Result<ScenarioRow> find(std::string_view id);
  /// Newest first, at most `limit`; `before_id` not empty: only older ones than that (ids are ULIDs, so time-ordered).
  [[nodiscard]] Result<std::vector<ScenarioRow>> list_ended(std::size_t limit, std::string_view before_id = {});
  /// At start: what has not ended belongs to a daemon that died. Marks each failed with `end_reason` ("lapsed",
  /// "error"), `error` and `now`, in the columns and in the JSON. All or nothing. Returns the ids, oldest first.
  Result<std::vector<std::string>> mark_orphans(std::string_view end_reason, std::string_view error, WallTime now);
  /// Keeps the newest `max_rows` of the ended ones, and of these those that ended at most `max_age` before `now`.
  /// Returns how many rows went.
  Result<std::int64_t> prune(std::size_t max_rows, std::chrono::seconds max_age, WallTime now);

 private:
  ScenarioHistory(Database& database, Statement upsert, Statement find, Statement list);

  Database& database_;
  Statement upsert_;
  Statement find_;
  Statement list_;
};

}  // namespace chaos
