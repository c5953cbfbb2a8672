#include "telemetry/history_file.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "telemetry/query.h"

namespace chaos {
namespace {

/// What only a new look at the file can mend.
bool wants_reopening(const Error& error) {
  constexpr std::string_view kTexts[] = {"malformed", "not a database", "disk I/O error"};  // sqlite3_errstr()
  return std::ranges::any_of(kTexts, [&](std::string_view text) { return error.message.contains(text); });
}

FoundSeries& series_of(std::vector<FoundSeries>& found, const SeriesName& name) {
  const auto same = std::ranges::find(found, name, &FoundSeries::name);
  return same != found.end() ? *same : found.emplace_back(FoundSeries{name, {}});
}

std::int64_t multiple_of(std::int64_t time_ms, std::int64_t step_ms) { return (time_ms + step_ms - 1) / step_ms; }

/// In the order of time, those in one step of the query as one.
void settle(std::vector<HistoryStep>& steps, const HistoryRange& range) {
  std::ranges::stable_sort(steps, {}, [](const HistoryStep& step) { return step.aggregate.time_ms; });
  if (range.merge_ms <= 0) return;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::int64_t time_ms = steps[i].aggregate.time_ms;
    if (kept > 0 && time_ms <= range.merge_until_ms &&
        multiple_of(steps[kept - 1].aggregate.time_ms, range.merge_ms) == multiple_of(time_ms, range.merge_ms)) {
      steps[kept - 1].aggregate.add(steps[i].aggregate);
    } else {
      steps[kept++] = steps[i];
    }
  }
  steps.resize(kept);
}

}  // namespace

bool labels_fit(const std::string& labels, const std::map<std::string, std::string>& wanted) {
  if (wanted.empty()) return true;
  const auto has = nlohmann::json::parse(labels, nullptr, /*allow_exceptions=*/false);
  return has.is_object() && std::ranges::all_of(wanted, [&](const auto& label) {
           const auto found = has.find(label.first);
           return found != has.end() && *found == label.second;
         });
}

void HistoryFile::configure(const std::optional<HistoryLimits>& limits) {
  if (limits == limits_) return;
  limits_ = limits;
  if (!limits) {
    finish();
    database_.reset();
    full_.clear();
    open_.reset();
  } else if (database_) {
    database_->set_limits(*limits);
  } else if (Status status = reopen(); !status) {
    failed(status.error(), "is not there");
  }
  show();
}

Status HistoryFile::reopen() {
  database_.reset();
  auto database = HistoryDatabase::open(file_, *limits_);
  if (!database) return std::unexpected(std::move(database.error()));
  database_ = std::move(*database);
  if (database_->moved_aside()) {
    spdlog::warn("history of metrics: {}", database_->moved_aside()->message);
    figures_.errors.fetch_add(1, std::memory_order_relaxed);
  }
  return {};
}

void HistoryFile::failed(const Error& error, std::string_view what) {
  figures_.errors.fetch_add(1, std::memory_order_relaxed);
  // Once until it works again.
  if (!std::exchange(complained_, true)) spdlog::warn("history of metrics {}: {}", what, error.message);
  if (wants_reopening(error)) database_.reset();
}

void HistoryFile::add(const EndedStep& step) {
  if (!limits_) return;
  const bool full = open_ && !open_->takes(step);
  if (full) full_.push_back(std::move(*std::exchange(open_, std::nullopt)));
  if (open_) {
    open_->add(step);
  } else {
    open_ = HistoryBlock::beginning_with(step);
  }
  if (++since_flush_ >= kFlushedEvery || full) flush();
}

void HistoryFile::finish() {
  // Not opened anew here: chaosd's end does not wait for a lock.
  if (database_ && open_) flush();
}

void HistoryFile::flush() {
  since_flush_ = 0;
  const Status status = write();
  if (status) {
    full_.clear();
    if (std::exchange(complained_, false)) spdlog::info("history of metrics is written again");
  } else {
    failed(status.error(), "is not written");
  }
  for (; full_.size() > kKeptUnwritten; full_.pop_front()) {
    figures_.lost_steps.fetch_add(full_.front().steps - full_.front().written, std::memory_order_relaxed);
  }
  show();
}

Status HistoryFile::write() {
  if (database_ && !database_->in_place()) database_.reset();
  if (!database_) {
    if (Status status = reopen(); !status) return status;
    for (HistoryBlock& block : full_) recall(block);
    recall(*open_);
  }
  std::vector<HistoryBlock*> blocks;
  std::uint64_t need = 0;
  blocks.reserve(full_.size() + 1);
  for (HistoryBlock& block : full_) blocks.push_back(&block);
  blocks.push_back(&*open_);
  for (const HistoryBlock* block : blocks) need += block->memory();
  if (Status status = database_->prune(open_->last_ms, need); !status) return status;
  return database_->write(blocks);
}

/// It may be another file than that in which the block was begun.
void HistoryFile::recall(HistoryBlock& block) {
  if (block.id != 0 && !database_->has(block)) block.forget_rows();
}

void HistoryFile::show() {
  figures_.bytes.store(database_ ? database_->bytes() : 0, std::memory_order_relaxed);
  const auto oldest = database_ ? database_->oldest_ms() : Result<std::int64_t>(0);
  if (oldest) figures_.oldest_ms.store(*oldest, std::memory_order_relaxed);
}

std::vector<const HistoryBlock*> HistoryFile::unwritten() const {
  std::vector<const HistoryBlock*> blocks;
  blocks.reserve(full_.size() + 1);
  for (const HistoryBlock& block : full_) blocks.push_back(&block);
  if (open_) blocks.push_back(&*open_);
  return blocks;
}

Status HistoryFile::read_file(const HistoryRange& range, std::vector<FoundSeries>& found) {
  auto all = database_->series(range.metric);
  if (!all) return std::unexpected(std::move(all.error()));
  std::vector<std::int64_t> but;
  for (const HistoryBlock* block : unwritten()) but.push_back(block->id);
  std::size_t total = 0;
  for (const HistoryDatabase::Series& series : *all) {
    if (!labels_fit(series.name.labels, range.labels)) continue;
    std::vector<HistoryStep> steps;
    if (Status status = database_->read(series, range.from_ms, range.to_ms, but, steps); !status) return status;
    settle(steps, range);
    total += steps.size();
    if (!steps.empty()) found.push_back({series.name, std::move(steps)});
    if (total > range.most) return {};  // read() tells
  }
  return {};
}

void HistoryFile::read_memory(const HistoryRange& range, std::vector<FoundSeries>& found) const {
  for (const HistoryBlock* block : unwritten()) {
    for (const auto& [key, column] : block->columns) {
      if (column.name->metric != range.metric || !labels_fit(column.name->labels, range.labels)) continue;
      std::vector<HistoryStep> steps;
      // Its own packing: it is not damaged.
      (void)unpack_column(*block, column.steps.finish(), column.name->type, range.from_ms, range.to_ms, steps);
      if (steps.empty()) continue;
      auto& into = series_of(found, *column.name).steps;
      into.insert(into.end(), steps.begin(), steps.end());
    }
  }
}

Result<HistoryReading> HistoryFile::read(const HistoryRange& range) {
  HistoryReading reading;
  if (!limits_) return reading;
  if (!database_) {
    reading.problem = "the file of the history cannot be used now: see the log";
  } else if (Status status = read_file(range, reading.series); !status) {
    reading.problem = status.error().message;
    failed(status.error(), "is not read");
  }
  read_memory(range, reading.series);
  std::size_t total = 0;
  for (FoundSeries& found : reading.series) {
    settle(found.steps, range);
    total += found.steps.size();
  }
  if (total > range.most) return too_many_points(total, range.most, "an answer");
  return reading;
}

std::size_t HistoryFile::memory() const {
  std::size_t bytes = 0;
  for (const HistoryBlock* block : unwritten()) bytes += block->memory();
  return bytes;
}

}  // namespace chaos
