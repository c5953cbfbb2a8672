#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <fstream>
#include <sstream>

#include "base/log.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using testing::HasSubstr;
using testing::Not;

class Log : public testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(set_up_logging({})); }

  [[nodiscard]] std::string text() const {
    std::ostringstream all;
    all << std::ifstream(options_.file).rdbuf();
    return all.str();
  }

  test::TempDir directory_;
  LogOptions options_{.file = (directory_.path() / "chaosd.log").string(), .journald = JournaldUse::kOff};
};

TEST_F(Log, FileGetsLinesWithUtcTimeNameAndLevel) {
  ASSERT_TRUE(set_up_logging(options_));
  spdlog::warn("disk is {}", "full");
  EXPECT_THAT(text(), testing::MatchesRegex("....-..-..T..:..:..\\....Z chaosd.[0-9]+. warning: disk is full\n"));
}

TEST_F(Log, NamesAnInstanceThatIsNotTheDefault) {
  options_.instance = "blue";
  ASSERT_TRUE(set_up_logging(options_));
  spdlog::info("up");
  EXPECT_THAT(text(), HasSubstr(" chaosd-blue["));
}

TEST_F(Log, LevelCanBeChangedAtRunTime) {
  options_.level = "error";
  ASSERT_TRUE(set_up_logging(options_));
  EXPECT_EQ(log_level(), "error");
  spdlog::info("before");
  ASSERT_TRUE(set_log_level("debug"));
  EXPECT_EQ(log_level(), "debug");
  spdlog::debug("after");
  spdlog::default_logger()->flush();
  EXPECT_THAT(text(), HasSubstr("after"));
  EXPECT_THAT(text(), Not(HasSubstr("before")));
}

TEST_F(Log, EveryLevelReadsBackAsItWasSet) {
  ASSERT_TRUE(set_up_logging(options_));
  for (const char* level : {"trace", "debug", "info", "warn", "error", "critical", "off"}) {
    ASSERT_TRUE(set_log_level(level));
    EXPECT_EQ(log_level(), level);
  }
}

TEST_F(Log, RefusesAnUnknownLevelAndKeepsTheOldOne) {
  ASSERT_TRUE(set_up_logging(options_));
  const Status status = set_log_level("loud");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kInvalid);
  EXPECT_EQ(status.error().field, "log.level");
  EXPECT_EQ(log_level(), "info");
  options_.level = "WARN";
  EXPECT_EQ(set_up_logging(options_).error().field, "log.level");
}

TEST_F(Log, FileIsRotatedAndOnlySomeAreKept) {
  options_.max_bytes = 1000;
  options_.max_files = 2;
  ASSERT_TRUE(set_up_logging(options_));
  for (int i = 0; i < 100; ++i) spdlog::info("line {} of a log that grows", i);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    EXPECT_LE(entry.file_size(), 1000U);
    ++files;
  }
  EXPECT_EQ(files, 3U);
}

TEST_F(Log, FileIsNotReadableByOthers) {
  ASSERT_TRUE(set_up_logging(options_));
  EXPECT_EQ(std::filesystem::status(options_.file).permissions(), std::filesystem::perms{0640});
}

TEST_F(Log, FailedReloadKeepsTheOldSinks) {
  ASSERT_TRUE(set_up_logging(options_));
  LogOptions bad = options_;
  bad.file = "/proc/no/such/place/chaosd.log";
  const Status status = set_up_logging(bad);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().field, "log.file");
  bad.file = options_.file;
  bad.max_bytes = 0;
  EXPECT_EQ(set_up_logging(bad).error().field, "log.max_bytes");
  spdlog::info("still here");
  EXPECT_THAT(text(), HasSubstr("still here"));
}

TEST_F(Log, JournaldThatIsAskedForButAbsentIsAnError) {
  if (std::filesystem::exists("/run/systemd/journal/socket")) GTEST_SKIP() << "systemd-journald runs here";
  options_.journald = JournaldUse::kOn;
  const Status status = set_up_logging(options_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().field, "log.journald");
}

TEST(JournalStream, MatchesDeviceAndInodeOfStderr) {
  struct stat status {};
  status.st_dev = 9;
  status.st_ino = 12345;
  EXPECT_TRUE(journal_stream_matches("9:12345", status));
  EXPECT_FALSE(journal_stream_matches("9:1234", status));
  EXPECT_FALSE(journal_stream_matches("8:12345", status));
  EXPECT_FALSE(journal_stream_matches("", status));
}

}  // namespace
}  // namespace chaos
