#include "safety/stop_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace chaos::test {
namespace {

class StopFileTest : public ::testing::Test {
 protected:
  StopFileTest() {
    auto loop = EventLoop::create();
    loop_ = std::move(*loop);
    auto stop = StopFile::watch(*loop_, file_, [this] {
      ++pulled_;
      loop_->quit();
    });
    if (stop) stop_ = std::move(*stop);
  }
  /// Until the callback has come, or a second has passed.
  void run() {
    auto timer = loop_->add_timer(std::chrono::seconds(1), [this] { loop_->quit(); });
    ASSERT_TRUE(loop_->run());
  }

  const TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "STOP";
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<StopFile> stop_;
  int pulled_ = 0;
};

TEST_F(StopFileTest, TellsWhenItAppears) {
  ASSERT_TRUE(stop_);
  EXPECT_FALSE(stop_->exists());
  std::ofstream(file_) << "now\n";
  run();
  EXPECT_EQ(pulled_, 1);
  EXPECT_TRUE(stop_->exists());
  EXPECT_TRUE(stop_->remove());
  EXPECT_FALSE(stop_->exists());
  EXPECT_TRUE(stop_->remove()) << "twice does no harm";
}

TEST_F(StopFileTest, TellsWhenItIsMovedThereOrIsADanglingLink) {
  ASSERT_TRUE(stop_);
  std::filesystem::create_symlink("/nowhere", file_);
  run();
  EXPECT_EQ(pulled_, 1);
  EXPECT_TRUE(stop_->exists());
}

TEST_F(StopFileTest, OtherFilesAreNotItsBusiness) {
  ASSERT_TRUE(stop_);
  std::ofstream(dir_.path() / "other") << "x";
  run();
  EXPECT_EQ(pulled_, 0);
}

TEST(StopFile, WithoutItsDirectoryThereIsAnError) {
  auto loop = EventLoop::create();
  EXPECT_FALSE(StopFile::watch(**loop, "/nowhere/at/all/STOP", [] {}));
}

}  // namespace
}  // namespace chaos::test
