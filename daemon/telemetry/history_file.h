// HistoryFile: what becomes of the history's steps: packed into a block, written every few steps, kept in memory for a
// while when they cannot be written, and lost, counted and told, when that lasts. Its thread is the sampler's
// "history"; figures() and lose() may be used by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "telemetry/history_block.h"
#include "telemetry/history_database.h"

namespace chaos {

/// What is wanted of the file.
struct HistoryRange {
  std::string metric;
  std::map<std::string, std::string> labels;  ///< that a series must have
  std::int64_t from_ms = 0;                   ///< samples after this
  std::int64_t to_ms = 0;                     ///< and not after this
  std::int64_t merge_ms = 0;        ///< steps that are in the same multiple of this become one; 0: as they are
  std::int64_t merge_until_ms = 0;  ///< and are not after this
  std::size_t most = 0;             ///< steps in all
};

struct FoundSeries {
  SeriesName name;
  std::vector<HistoryStep> steps;  ///< oldest first
};

struct HistoryReading {
  std::vector<FoundSeries> series;
  std::string problem;  ///< why some may be missing; empty: none is
};

/// "{"a":"b"}" has all of `wanted`.
[[nodiscard]] bool labels_fit(const std::string& labels, const std::map<std::string, std::string>& wanted);

class HistoryFile {
 public:
  static constexpr std::size_t kFlushedEvery = 5;   ///< steps
  static constexpr std::size_t kKeptUnwritten = 1;  ///< full blocks, beside the one that is being filled

  explicit HistoryFile(std::filesystem::path file) : file_(std::move(file)) {}

  struct Figures {
    std::atomic<std::uint64_t> bytes{0};       ///< of the file
    std::atomic<std::int64_t> oldest_ms{0};    ///< Unix; 0: nothing is there
    std::atomic<std::uint64_t> errors{0};      ///< failures to open, write or read it
    std::atomic<std::uint64_t> lost_steps{0};  ///< that were never written
  };
  [[nodiscard]] const Figures& figures() const { return figures_; }
  /// A step that nobody could take on.
  void lose() { figures_.lost_steps.fetch_add(1, std::memory_order_relaxed); }

  /// Opens the file, or with nullopt closes it: what comes then is not kept.
  void configure(const std::optional<HistoryLimits>& limits);
  void add(const EndedStep& step);
  /// Writes what there is. Nothing comes after it.
  void finish();
  /// Error: kInvalid if there are more than `most`.
  [[nodiscard]] Result<HistoryReading> read(const HistoryRange& range);
  [[nodiscard]] std::size_t memory() const;

 private:
  void flush();
  Status write();
  Status reopen();
  void failed(const Error& error, std::string_view what);
  void recall(HistoryBlock& block);
  void show();
  [[nodiscard]] std::vector<const HistoryBlock*> unwritten() const;
  Status read_file(const HistoryRange& range, std::vector<FoundSeries>& found);
  void read_memory(const HistoryRange& range, std::vector<FoundSeries>& found) const;

  const std::filesystem::path file_;
  std::optional<HistoryLimits> limits_;
  std::unique_ptr<HistoryDatabase> database_;
  std::deque<HistoryBlock> full_;     ///< not written yet
  std::optional<HistoryBlock> open_;  ///< written as far as its `written` says
  std::size_t since_flush_ = 0;
  bool complained_ = false;
  Figures figures_;
};

}  // namespace chaos
