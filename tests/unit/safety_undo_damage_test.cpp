// A journal that is damaged: torn, with bits that have flipped, overwritten; and what is no journal at all.
#include <gtest/gtest.h>

#include <iterator>
#include <random>

#include "safety_undo_support.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

class UndoDamage : public Undo, public testing::WithParamInterface<int> {
 protected:
  /// Three to six changes; a third of them undone again. All files read "new" where a change stands.
  std::vector<fs::path> live_a_while(std::mt19937& random) {
    std::vector<fs::path> files;
    const unsigned changes = 3 + random() % 4;
    for (unsigned i = 0; i < changes; ++i) {
      files.push_back(make_file("value" + std::to_string(i), "old"));
      const auto id = journal_->record(change_of(files.back(), "old", "new"));
      EXPECT_TRUE(id);
      write(files.back(), "new");
      if (random() % 4 != 0) {
        EXPECT_TRUE(journal_->applied(*id));
      }
      if (i + 1 < changes && random() % 3 == 0) {
        write(files.back(), "old");
        EXPECT_TRUE(journal_->undone(*id));
      }
    }
    return files;
  }
};

TEST_P(UndoDamage, ATornLastRecordBelongsToAChangeThatHadNotBegun) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const auto files = live_a_while(random);
  const fs::path untouched = make_file("last", "old");
  const std::size_t before = bytes().size();
  ASSERT_TRUE(journal_->record(change_of(untouched, "old", "new")));
  const std::size_t after = bytes().size();
  // The power of the write ended anywhere in it; the change was not made.
  put_bytes(bytes().substr(0, before + random() % (after - before)));
  const UndoReplay done = replay();
  EXPECT_TRUE(done.complete());
  for (const fs::path& file : files) EXPECT_EQ(read(file), "old") << file;
  EXPECT_EQ(read(untouched), "old");
  EXPECT_FALSE(on_record());
}

TEST_P(UndoDamage, AFlippedBitLosesNothing) {
  std::mt19937 random(static_cast<unsigned>(GetParam()) + 1000);
  const auto files = live_a_while(random);
  std::string damaged = bytes();
  damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
  put_bytes(damaged);
  const UndoReplay done = replay();
  EXPECT_TRUE(done.complete());
  EXPECT_GE(done.damaged, 1U);
  for (const fs::path& file : files) EXPECT_EQ(read(file), "old") << file;
  EXPECT_FALSE(on_record());
}

TEST_P(UndoDamage, AnOverwrittenByteLosesNothing) {
  std::mt19937 random(static_cast<unsigned>(GetParam()) + 2000);
  const auto files = live_a_while(random);
  std::string damaged = bytes();
  char& byte = damaged[random() % damaged.size()];
  byte = static_cast<char>(byte + 1 + static_cast<char>(random() % 255));
  put_bytes(damaged);
  EXPECT_TRUE(replay().complete());
  for (const fs::path& file : files) EXPECT_EQ(read(file), "old") << file;
}

INSTANTIATE_TEST_SUITE_P(Seeds, UndoDamage, testing::Range(0, 100));

TEST_F(Undo, ARecordWhoseBothCopiesAreGoneIsMissed) {
  const fs::path first = make_file("first", "old");
  const fs::path second = make_file("second", "old");
  ASSERT_TRUE(journal_->record(change_of(first, "old", "new")));
  const std::size_t end_of_first = bytes().size();
  ASSERT_TRUE(journal_->record(change_of(second, "old", "new")));
  write(first, "new");
  write(second, "new");
  std::string damaged = bytes();
  for (std::size_t i = 0; i < end_of_first; i += 10) damaged[i] ^= 1;
  put_bytes(damaged);
  const UndoReplay done = replay();
  EXPECT_EQ(done.lost, 1U);
  EXPECT_FALSE(done.complete());
  EXPECT_EQ(read(second), "old");
  EXPECT_FALSE(on_record());
  // Kept for whoever looks into it.
  EXPECT_TRUE(fs::exists(undo_directory(dir_.path()) / "damaged.undo"));
}

TEST(UndoLog, ActionsSurviveTheFile) {
  const UndoAction actions[]{ClsactAdded{4026531840, 7},
                             TcFilterAdded{4026531840, 7, true, 3, 0xc4a05001, 99},
                             FileValueChanged{"/sys/fs/cgroup/a b/\"x\"", 27, 1234567890123, "max", "10 20"},
                             FileValueChanged{"/sys/fs/cgroup/a/io.max", 27, 5, "max", "1048576", "8:0 wbps"},
                             ProcessStopped{4711, 987654321012},
                             FdLimitsLowered{5, {{4711, 987654321012, 1024, 4096, 12, "/a"}, {1, 2, 3, 4, 0, "/"}}}};
  std::string bytes;
  std::uint64_t number = 0;
  for (const UndoAction& action : actions) bytes += encode({++number, number, UndoMark::kIntended, action});
  const UndoLog log = decode(bytes);
  ASSERT_EQ(log.open.size(), std::size(actions));
  for (std::size_t i = 0; i < std::size(actions); ++i) {
    EXPECT_EQ(log.open[i].action, actions[i]);
    EXPECT_FALSE(describe(actions[i]).empty());
  }
  EXPECT_EQ(log.lost, 0U);
  EXPECT_EQ(log.damaged, 0U);
}

TEST(UndoLog, GarbageIsNoRecord) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string garbage(random() % 500, '\0');
    for (char& c : garbage) c = static_cast<char>(random());
    garbage += "CHU1";
    EXPECT_TRUE(decode(garbage).open.empty());
  }
}

}  // namespace
}  // namespace chaos
