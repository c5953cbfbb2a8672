#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "safety/latch.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using testing::HasSubstr;

std::vector<std::filesystem::path> files_in(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) files.push_back(entry.path());
  return files;
}

TEST(Latch, IsOpenInAFreshStateDirectory) {
  const test::TempDir state;
  const Latch latch(state.path());
  EXPECT_FALSE(latch.engaged());
  EXPECT_EQ(latch.reason(), "");
}

TEST(Latch, OutlivesARestartWithItsReason) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage("operator 1000: pager went off"));
  EXPECT_TRUE(latch.engaged());
  const Latch restarted(state.path());
  EXPECT_TRUE(restarted.engaged());
  EXPECT_EQ(restarted.reason(), "operator 1000: pager went off");
}

TEST(Latch, FileIsPrivateAndTheOnlyOne) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage("x"));
  ASSERT_EQ(files_in(state.path()).size(), 1U);
  EXPECT_EQ(std::filesystem::status(files_in(state.path()).front()).permissions(), std::filesystem::perms{0600});
}

TEST(Latch, EngagingAgainKeepsItEngagedWithTheNewReason) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage("a first reason that is long"));
  ASSERT_TRUE(latch.engage("second"));
  EXPECT_EQ(Latch(state.path()).reason(), "second");
}

TEST(Latch, ReleaseLastsAndMayBeRepeated) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage("x"));
  ASSERT_TRUE(latch.release());
  EXPECT_FALSE(latch.engaged());
  EXPECT_EQ(latch.reason(), "");
  EXPECT_FALSE(Latch(state.path()).engaged());
  EXPECT_TRUE(files_in(state.path()).empty());
  EXPECT_TRUE(latch.release());
}

TEST(Latch, MissingStateDirectoryCountsAsEngaged) {
  const test::TempDir state;
  Latch latch(state.path() / "gone");
  EXPECT_TRUE(latch.engaged());
  EXPECT_THAT(latch.reason(), HasSubstr("ENOENT"));
  EXPECT_FALSE(latch.release());
  EXPECT_TRUE(latch.engaged());
}

TEST(Latch, EngagesInMemoryEvenIfTheFileCannotBeWritten) {
  const test::TempDir state;
  const auto directory = state.path() / "s";
  std::filesystem::create_directory(directory);
  Latch latch(directory);
  ASSERT_FALSE(latch.engaged());
  std::filesystem::remove(directory);
  const Status status = latch.engage("x");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("ENOENT"));
  EXPECT_TRUE(latch.engaged());
}

TEST(Latch, AnythingOfItsNameCountsAsEngaged) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage("x"));
  const auto file = files_in(state.path()).front();
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/nowhere", file);
  EXPECT_TRUE(Latch(state.path()).engaged());
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  Latch blocked(state.path());
  EXPECT_TRUE(blocked.engaged());
  EXPECT_FALSE(blocked.release());
  EXPECT_TRUE(blocked.engaged());
}

TEST(Latch, LongReasonIsCut) {
  const test::TempDir state;
  Latch latch(state.path());
  ASSERT_TRUE(latch.engage(std::string(100'000, 'r')));
  EXPECT_EQ(Latch(state.path()).reason(), latch.reason());
  EXPECT_EQ(latch.reason().size(), 1024U);
}

}  // namespace
}  // namespace chaos
