// HistoryDatabase: the history's SQLite file: blocks of steps, bounded by time and size. A file of its own, so that
// nothing that happens to it (full, locked, damaged) touches the audit log. Owns the connection. The history's thread:
// every call may wait for the disk, and for a quarter of a second for who holds a lock.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/database.h"
#include "telemetry/history_block.h"

namespace chaos {

struct HistoryLimits {
  std::chrono::milliseconds retention = std::chrono::hours(168);
  std::uint64_t bytes = std::uint64_t{128} << 20;
  friend bool operator==(const HistoryLimits&, const HistoryLimits&) = default;
};

class HistoryDatabase {
 public:
  /// Opens or creates it (mode 0600); one that is damaged is moved aside and a new one begun, which moved_aside()
  /// tells. Errors: as Database::open.
  static Result<std::unique_ptr<HistoryDatabase>> open(const std::filesystem::path& file, const HistoryLimits& limits);
  [[nodiscard]] const std::optional<Error>& moved_aside() const { return database_->moved_aside(); }
  /// Whether the path still leads to the file that was opened.
  [[nodiscard]] bool in_place() const;

  void set_limits(const HistoryLimits& limits);
  /// Writes these blocks, whole, over what was written of them before: all or nothing. Sets their ids, rows and
  /// `written`, or none.
  Status write(std::span<HistoryBlock* const> blocks);
  /// Deletes what is older than the limits allow, and the oldest until `need` bytes more have room. The newest block
  /// stays.
  Status prune(std::int64_t now_ms, std::uint64_t need);

  /// Whether the block, with its id, is in this file.
  [[nodiscard]] bool has(const HistoryBlock& block);
  struct Series {
    std::int64_t row = 0;
    SeriesName name;
  };
  [[nodiscard]] Result<std::vector<Series>> series(const std::string& metric);
  /// Appends the steps of a series in (from_ms, to_ms] of all blocks but those in `but`, in the order in which they
  /// were written.
  Status read(const Series& series, std::int64_t from_ms, std::int64_t to_ms, std::span<const std::int64_t> but,
              std::vector<HistoryStep>& steps);

  /// Of the file and of what SQLite keeps beside it.
  [[nodiscard]] std::uint64_t bytes() const;
  /// Unix ms of the oldest sample; 0: there is none.
  [[nodiscard]] Result<std::int64_t> oldest_ms();

 private:
  HistoryDatabase(std::unique_ptr<Database> database, std::filesystem::path file, HistoryLimits limits);
  Status begin();
  Result<std::uint64_t> used();
  Result<std::int64_t> number(std::string_view sql, std::int64_t parameter);
  Status drop_block(std::int64_t id);
  Status write_block(HistoryBlock& block, std::int64_t& id, std::vector<std::int64_t>& rows);

  std::unique_ptr<Database> database_;
  const std::filesystem::path file_;
  HistoryLimits limits_;
  std::uint64_t inode_ = 0;
  std::int64_t page_size_ = 4096;
};

}  // namespace chaos
