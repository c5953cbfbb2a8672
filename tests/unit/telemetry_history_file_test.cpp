// The history on disk: the file with its bounds and its mishaps, what memory and file give together.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "support/temp_dir.h"
#include "telemetry/history_answer.h"
#include "telemetry/history_file.h"
#include "telemetry/series_history.h"

namespace chaos::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr MetricSpec kLevel{"test_level", MetricType::kGauge, "bytes", 1, "A level.", {"name"}};
constexpr MetricSpec kCount{"test_count_total", MetricType::kCounter, "", 10, "A count.", {"name"}};
constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kStart = 1'800'000'000'000;  // a whole minute

WallTime at(std::int64_t ms) { return WallTime(milliseconds(ms)); }

/// Series of a test's own that go into a file, second by second.
class Source {
 public:
  explicit Source(std::size_t series, milliseconds step = minutes(1)) : values_(series) {
    sampler_.set_step(step);
    for (std::size_t i = 0; i < series; ++i) names_.push_back(std::to_string(i));
  }
  /// One round; half of the series are noisy.
  void round(std::int64_t ms, HistoryFile& file) {
    registry_.begin_round();
    for (std::size_t i = 0; i < values_.size(); ++i) {
      values_[i] += i % 2 == 0 ? 100 : static_cast<std::int64_t>(random_() % 4000);
      registry_.set(kCount, {names_[i]}, values_[i]);
    }
    if (auto step = sampler_.add(at(ms), registry_)) file.add(*step);
  }
  void run(std::int64_t from_ms, std::int64_t to_ms, std::int64_t every_ms, HistoryFile& file) {
    for (std::int64_t ms = from_ms; ms <= to_ms; ms += every_ms) round(ms, file);
  }
  void end(HistoryFile& file) {
    if (auto step = sampler_.cut_short()) file.add(*step);
    file.finish();
  }

 private:
  Registry registry_;
  Downsampler sampler_;
  std::vector<std::string> names_;
  std::vector<std::int64_t> values_;
  std::minstd_rand random_{3};
};

class HistoryOnDisk : public testing::Test {
 protected:
  static HistoryRange range(std::int64_t from_ms, std::int64_t to_ms, std::string series = "0") {
    return {.metric = "test_count_total",
            .labels = {{"name", std::move(series)}},
            .from_ms = from_ms,
            .to_ms = to_ms,
            .merge_ms = 0,
            .merge_until_ms = 0,
            .most = 100'000};
  }
  static std::vector<HistoryStep> steps(HistoryFile& file, const HistoryRange& range) {
    auto reading = file.read(range);
    EXPECT_TRUE(reading) << reading.error().message;
    if (!reading) return {};
    EXPECT_EQ(reading->problem, "");
    EXPECT_LE(reading->series.size(), 1U);
    return reading->series.empty() ? std::vector<HistoryStep>() : reading->series.front().steps;
  }
  /// Series "0" grows by 100 a second: whether steps tell so, one a minute, without a gap.
  static void expect_minutes(const std::vector<HistoryStep>& steps, std::int64_t first_ms, std::size_t count) {
    ASSERT_EQ(steps.size(), count);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Aggregate& step = steps[i].aggregate;
      EXPECT_EQ(step.time_ms, first_ms + static_cast<std::int64_t>(i) * kMinute);
      EXPECT_EQ(step.count, 60U);
      EXPECT_EQ(step.most - step.least, 5900);
      if (i > 0) {
        EXPECT_EQ(step.first, steps[i - 1].aggregate.last + 100);
      }
    }
  }
  void run_sql(const std::string& sql) const {
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(other, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(other);
    sqlite3_close(other);
  }
  [[nodiscard]] fs::path path() const { return directory_.path() / "history.db"; }
  /// Of all that is called so.
  [[nodiscard]] std::uintmax_t size() const {
    std::uintmax_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(directory_.path())) bytes += entry.file_size();
    return bytes;
  }
  [[nodiscard]] std::size_t moved_aside() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      count += entry.path().filename().string().starts_with("history.db.corrupt-") ? 1 : 0;
    }
    return count;
  }

  static constexpr HistoryLimits kLimits{.retention = std::chrono::hours(168), .bytes = 16U << 20};
  TempDir directory_;
};

TEST_F(HistoryOnDisk, GivesBackWhatWasAdded) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(4);
  // 150 minutes: two full blocks and half of another.
  source.run(kStart + 1000, kStart + 150 * kMinute, 1000, file);
  source.end(file);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 150);
  expect_minutes(steps(file, range(kStart + 60 * kMinute, kStart + 90 * kMinute)), kStart + 61 * kMinute, 30);
  struct stat found {};
  ASSERT_EQ(::stat(path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777U, 0600U);
  EXPECT_EQ(file.figures().errors.load(), 0U);
  EXPECT_EQ(file.figures().lost_steps.load(), 0U);
  EXPECT_EQ(file.figures().oldest_ms.load(), kStart + 1000);
  auto none = range(0, kStart + 1000 * kMinute, "9");
  EXPECT_TRUE(steps(file, none).empty());
  none.metric = "nothing";
  EXPECT_TRUE(steps(file, none).empty());
}

TEST_F(HistoryOnDisk, GivesWhatIsNotWrittenYet) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 4 * kMinute + 1000, 1000, file);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 4);
}

TEST_F(HistoryOnDisk, ARestartKeepsIt) {
  Source source(3);
  {
    HistoryFile file(path());
    file.configure(kLimits);
    source.run(kStart + 1000, kStart + 30 * kMinute + 20'000, 1000, file);
    source.end(file);
  }
  HistoryFile file(path());
  file.configure(kLimits);
  // In the same minute.
  source.run(kStart + 30 * kMinute + 21'000, kStart + 40 * kMinute, 1000, file);
  source.end(file);
  auto all = steps(file, range(0, kStart + 1000 * kMinute));
  ASSERT_EQ(all.size(), 41U) << "the minute of the restart is in two parts";
  EXPECT_EQ(all[30].aggregate.time_ms, kStart + 30 * kMinute + 20'000) << "cut short";
  EXPECT_EQ(all[30].aggregate.count, 20U);
  EXPECT_EQ(all[31].aggregate.count, 40U);
  EXPECT_EQ(all[31].after_ms, kStart + 30 * kMinute + 20'999);
  all[30].aggregate.add(all[31].aggregate);
  all[30].aggregate.time_ms = all[31].aggregate.time_ms;
  all.erase(all.begin() + 31);
  expect_minutes(all, kStart + kMinute, 40);
  auto merged = range(0, kStart + 1000 * kMinute);
  merged.merge_ms = kMinute;
  merged.merge_until_ms = kStart + 1000 * kMinute;
  expect_minutes(steps(file, merged), kStart + kMinute, 40);
}

TEST_F(HistoryOnDisk, LongerStepsOfAQueryAreMerged) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(1);
  source.run(kStart + 1000, kStart + 100 * kMinute, 1000, file);
  auto hours = range(0, kStart + 1000 * kMinute);
  hours.merge_ms = 20 * kMinute;
  hours.merge_until_ms = kStart + 60 * kMinute;
  const auto all = steps(file, hours);
  ASSERT_EQ(all.size(), 3U + 39U) << "what may be in memory still stays as it is";
  EXPECT_EQ(all[0].aggregate.count, 1200U);
  EXPECT_EQ(all[2].aggregate.last, all[0].aggregate.first + 3599 * 100);
  EXPECT_EQ(all[2].aggregate.grown, 1199U * 100U);
  hours.most = 40;
  const auto refused = file.read(hours);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().field, "query.step");
}

// Issue 9, "Done when" 6: a day at 1 Hz of 1000 series, half of them noisy, on an accelerated clock.
TEST_F(HistoryOnDisk, ADayStaysWithinItsBounds) {
  constexpr HistoryLimits kSmall{.retention = std::chrono::hours(168), .bytes = 8U << 20};
  HistoryFile file(path());
  file.configure(kSmall);
  Source source(1000);
  std::size_t most_memory = 0;
  std::uintmax_t most_disk = 0;
  for (std::int64_t minute = 0; minute < 24 * 60; ++minute) {
    source.run(kStart + minute * kMinute + 1000, kStart + (minute + 1) * kMinute, 1000, file);
    most_memory = std::max(most_memory, file.memory());
    most_disk = std::max(most_disk, size());
  }
  source.end(file);
  std::printf("a day of 1000 series: %zu KiB in memory, %ju KiB on disk at most, back to %lld minutes\n",
              most_memory >> 10, most_disk >> 10,
              static_cast<long long>((kStart + 24 * 60 * kMinute - file.figures().oldest_ms) / kMinute));
  EXPECT_LE(fs::file_size(path()), kSmall.bytes);
  EXPECT_LE(most_disk, kSmall.bytes + (8U << 20)) << "with the write-ahead log";
  EXPECT_LE(most_memory, 4U << 20);
  EXPECT_EQ(file.figures().errors.load(), 0U);
  EXPECT_EQ(file.figures().lost_steps.load(), 0U);
  expect_minutes(steps(file, range(kStart + 22 * 60 * kMinute, kStart + 24 * 60 * kMinute)),
                 kStart + (22 * 60 + 1) * kMinute, 120);
  EXPECT_TRUE(steps(file, range(0, kStart + 60 * kMinute)).empty()) << "the oldest has gone";
}

TEST_F(HistoryOnDisk, ADayFitsIntoTheSizeOfItsDefault) {
  HistoryFile file(path());
  file.configure(HistoryLimits{});
  Source source(1000);
  // Every fourth second: the number of samples in a step is not what makes its size.
  source.run(kStart + 1000, kStart + 24 * 60 * kMinute, 4000, file);
  source.end(file);
  std::printf("a day of 1000 series, half of them noisy: %ju KiB\n", fs::file_size(path()) >> 10);
  EXPECT_LE(fs::file_size(path()), HistoryLimits{}.bytes / 7) << "a week of it fits";
}

TEST_F(HistoryOnDisk, WhatIsTooOldGoes) {
  HistoryFile file(path());
  file.configure(HistoryLimits{.retention = std::chrono::hours(3), .bytes = 16U << 20});
  Source source(2);
  source.run(kStart + 1000, kStart + 12 * 60 * kMinute, 1000, file);
  source.end(file);
  const std::int64_t oldest_ms = file.figures().oldest_ms.load();
  EXPECT_GE(oldest_ms, kStart + 8 * 60 * kMinute) << "the retention and a block";
  EXPECT_LE(oldest_ms, kStart + 9 * 60 * kMinute + kMinute);
  // A series goes with the last block that it is in.
  Source other(1);
  other.run(kStart + 13 * 60 * kMinute, kStart + 26 * 60 * kMinute, 1000, file);
  other.end(file);
  sqlite3* look = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &look), SQLITE_OK);
  sqlite3_stmt* query = nullptr;
  ASSERT_EQ(sqlite3_prepare_v2(look, "SELECT count(*) FROM series", -1, &query, nullptr), SQLITE_OK);
  ASSERT_EQ(sqlite3_step(query), SQLITE_ROW);
  EXPECT_EQ(sqlite3_column_int(query, 0), 1);
  sqlite3_finalize(query);
  sqlite3_close(look);
}

TEST_F(HistoryOnDisk, ALowerSizeTakesEffect) {
  HistoryFile file(path());
  file.configure(HistoryLimits{.retention = std::chrono::hours(168), .bytes = 64U << 20});
  Source source(1000);
  source.run(kStart + 1000, kStart + 24 * 60 * kMinute, 5000, file);
  ASSERT_GT(fs::file_size(path()), 9U << 20);
  file.configure(HistoryLimits{.retention = std::chrono::hours(168), .bytes = 8U << 20});
  source.run(kStart + 24 * 60 * kMinute, kStart + 25 * 60 * kMinute, 5000, file);
  EXPECT_LE(fs::file_size(path()), 8U << 20);
  EXPECT_FALSE(steps(file, range(kStart + 23 * 60 * kMinute, kStart + 25 * 60 * kMinute)).empty());
}

TEST_F(HistoryOnDisk, ALockLosesNothingUntilItLastsTooLong) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 10 * kMinute, 1000, file);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  source.run(kStart + 10 * kMinute + 1000, kStart + 100 * kMinute, 1000, file);
  EXPECT_GE(file.figures().errors.load(), 10U);
  EXPECT_EQ(file.figures().lost_steps.load(), 0U);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 99);
  ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
  source.run(kStart + 100 * kMinute + 1000, kStart + 110 * kMinute, 1000, file);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 109);
  // Now for longer than memory takes.
  const std::uint64_t errors = file.figures().errors.load();
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  source.run(kStart + 110 * kMinute + 1000, kStart + 350 * kMinute, 1000, file);
  EXPECT_GT(file.figures().errors.load(), errors);
  const std::uint64_t lost = file.figures().lost_steps.load();
  EXPECT_GE(lost, 100U);
  EXPECT_LE(file.memory(), 64U << 10) << "two series";
  sqlite3_close(other);
  source.run(kStart + 350 * kMinute + 1000, kStart + 450 * kMinute, 1000, file);
  source.end(file);
  EXPECT_EQ(file.figures().lost_steps.load(), lost);
  EXPECT_EQ(steps(file, range(0, kStart + 1000 * kMinute)).size(), 450U - lost) << "no more than was counted";
}

TEST_F(HistoryOnDisk, ADamagedFileIsSetAside) {
  directory_.write("history.db", std::string(10'000, 'x'));
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 10 * kMinute, 1000, file);
  source.end(file);
  EXPECT_EQ(moved_aside(), 1U);
  EXPECT_EQ(file.figures().errors.load(), 1U);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 10);
}

TEST_F(HistoryOnDisk, AFileThatIsDamagedUnderItIsSetAside) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 70 * kMinute, 1000, file);
  run_sql(
      "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'nonsense' WHERE name = 'chunks'; "
      "PRAGMA schema_version = 4242");
  source.run(kStart + 70 * kMinute + 1000, kStart + 90 * kMinute, 1000, file);
  source.end(file);
  EXPECT_GE(file.figures().errors.load(), 1U);
  EXPECT_EQ(moved_aside(), 1U);
  EXPECT_EQ(file.figures().lost_steps.load(), 0U);
  // The block that was being filled is there whole.
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + 61 * kMinute, 30);
}

TEST_F(HistoryOnDisk, AFileThatVanishesIsMadeAnew) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 10 * kMinute, 1000, file);
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path().string() + suffix);
  source.run(kStart + 10 * kMinute + 1000, kStart + 20 * kMinute, 1000, file);
  source.end(file);
  EXPECT_TRUE(fs::exists(path()));
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 20);
}

TEST_F(HistoryOnDisk, ADirectoryThatIsMissingStopsNothing) {
  HistoryFile file(directory_.path() / "missing" / "history.db");
  file.configure(kLimits);
  Source source(2);
  source.run(kStart + 1000, kStart + 10 * kMinute, 1000, file);
  EXPECT_GE(file.figures().errors.load(), 2U);
  const auto reading = file.read(range(0, kStart + 1000 * kMinute));
  ASSERT_TRUE(reading);
  EXPECT_NE(reading->problem, "");
  expect_minutes(reading->series.at(0).steps, kStart + kMinute, 9);
  fs::create_directory(directory_.path() / "missing");
  source.run(kStart + 10 * kMinute + 1000, kStart + 20 * kMinute, 1000, file);
  EXPECT_EQ(file.figures().lost_steps.load(), 0U);
  expect_minutes(steps(file, range(0, kStart + 1000 * kMinute)), kStart + kMinute, 19);
}

TEST_F(HistoryOnDisk, SwitchedOffItIsNotTouched) {
  HistoryFile file(path());
  file.configure(std::nullopt);
  Source source(2);
  source.run(kStart + 1000, kStart + 10 * kMinute, 1000, file);
  source.end(file);
  EXPECT_FALSE(fs::exists(path()));
  EXPECT_TRUE(steps(file, range(0, kStart + 1000 * kMinute)).empty());
}

// Over any beginning of the memory, file and memory give each sample once.
TEST_F(HistoryOnDisk, JoinsMemoryWithoutASeam) {
  HistoryFile file(path());
  file.configure(kLimits);
  Source source(1);
  source.run(kStart + 1000, kStart + 20 * kMinute, 1000, file);
  source.end(file);
  std::vector<Point> points;
  for (std::int64_t second = 1; second <= 20 * 60; ++second) points.push_back({kStart + second * 1000, second * 100});
  const auto in_file = steps(file, range(0, kStart + 1000 * kMinute));
  for (std::size_t begin = 0; begin < points.size(); begin += 7) {
    const auto all = joined(in_file, std::span(points).subspan(begin), points[begin].time_ms);
    std::uint64_t count = 0;
    std::int64_t last_ms = 0;
    for (const Aggregate& one : all) {
      count += one.count;
      ASSERT_GT(one.time_ms, last_ms);
      last_ms = one.time_ms;
    }
    ASSERT_EQ(count, points.size()) << "memory from sample " << begin;
    const auto grown = steps_of(all, 10, kStart, kStart + 20 * kMinute, 20 * kMinute, Aggregation::kIncrease);
    ASSERT_NEAR(grown.at(0).second.value(), begin < 60 ? 1199 * 10.0 : 1140 * 10.0, 600.0) << begin;
  }
}

}  // namespace
}  // namespace chaos::test
