// The undo journal: a crash at any point between record, change and mark, a torn end, flipped bytes, and somebody
// else's change meanwhile; the host is a file that stands for one of the kernel's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <random>

#include <nlohmann/json.hpp>

#include "kernel/proc_tree.h"
#include "kernel/processes.h"
#include "safety/journaled_value.h"
#include "safety/undo_journal.h"
#include "safety/undo_log.h"
#include "safety/undo_replay.h"
#include "tests/support/child.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Undo : public testing::Test {
 protected:
  void SetUp() override { reopen(); }

  void reopen() {
    journal_.reset();
    fs::remove(undo_file(dir_.path()));
    auto journal = UndoJournal::open(dir_.path());
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
    journal_->set_guarded(true);
  }
  fs::path make_file(const std::string& name, const std::string& value) {
    const fs::path path = dir_.path() / name;
    write(path, value);
    return path;
  }
  static void write(const fs::path& path, const std::string& value) {
    std::ofstream(path, std::ios::trunc) << value << '\n';
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  static FileValueChanged change_of(const fs::path& path, const std::string& before, const std::string& after) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return {path.string(), status.st_dev, status.st_ino, before, after};
  }
  [[nodiscard]] UndoReplay replay(ReplayMode mode = ReplayMode::kAfterDeath) const {
    auto done = replay_undo(dir_.path(), mode, "test");
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : UndoReplay{};
  }
  [[nodiscard]] bool on_record() const { return fs::exists(undo_file(dir_.path())); }
  [[nodiscard]] std::string bytes() const {
    std::ifstream file(undo_file(dir_.path()), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put_bytes(const std::string& bytes) const {
    std::ofstream(undo_file(dir_.path()), std::ios::binary | std::ios::trunc) << bytes;
  }

  test::TempDir dir_;
  std::unique_ptr<UndoJournal> journal_;
};

TEST_F(Undo, ACrashBetweenRecordAndChangeUndoesNothing) {
  const fs::path file = make_file("limit", "max");
  ASSERT_TRUE(journal_->record(change_of(file, "max", "10")));
  const UndoReplay done = replay();
  ASSERT_EQ(done.items.size(), 1U);
  EXPECT_EQ(done.items[0].result.outcome, UndoOutcome::kNotNeeded);
  EXPECT_EQ(read(file), "max");
  EXPECT_FALSE(on_record());
}

TEST_F(Undo, ACrashBetweenChangeAndMarkUndoesTheChange) {
  const fs::path file = make_file("limit", "max");
  ASSERT_TRUE(journal_->record(change_of(file, "max", "10")));
  write(file, "10");
  EXPECT_EQ(replay(ReplayMode::kDryRun).items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_EQ(read(file), "10");
  EXPECT_TRUE(on_record());
  EXPECT_EQ(replay().items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_EQ(read(file), "max");
  EXPECT_FALSE(on_record());
  EXPECT_TRUE(replay().empty());
}

TEST_F(Undo, SomebodyElsesLaterChangeStaysAndIsReported) {
  const fs::path file = make_file("limit", "max");
  ASSERT_TRUE(journal_->record(change_of(file, "max", "10")));
  write(file, "77");
  const UndoReplay done = replay();
  EXPECT_EQ(done.items.at(0).result.outcome, UndoOutcome::kTheirs);
  EXPECT_TRUE(done.complete());
  EXPECT_EQ(read(file), "77");
  const auto reports = take_undo_reports(dir_.path());
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(reports[0]["by"], "test");
  EXPECT_EQ(reports[0]["changes"][0]["outcome"], "conflict");
  EXPECT_THAT(reports[0]["changes"][0]["detail"].get<std::string>(), HasSubstr("it reads '77'"));
  EXPECT_TRUE(take_undo_reports(dir_.path()).empty());
}

TEST_F(Undo, AnObjectThatWasMadeAnewIsNotTouched) {
  const fs::path file = make_file("limit", "max");
  const FileValueChanged change = change_of(file, "max", "10");
  ASSERT_TRUE(journal_->record(change));
  // Another inode under the same name, with the value that we wrote.
  fs::rename(file, dir_.path() / "old");
  make_file("limit", "10");
  EXPECT_EQ(replay().items.at(0).result.outcome, UndoOutcome::kGone);
  EXPECT_EQ(read(file), "10");
}

TEST_F(Undo, ChangesAreUndoneLastFirst) {
  const fs::path file = make_file("limit", "1");
  ASSERT_TRUE(journal_->record(change_of(file, "1", "2")));
  write(file, "2");
  ASSERT_TRUE(journal_->record(change_of(file, "2", "3")));
  write(file, "3");
  EXPECT_EQ(replay().items.size(), 2U);
  EXPECT_EQ(read(file), "1");
}

TEST_F(Undo, WhatWasUndoneInOrderLeavesNoFile) {
  const fs::path file = make_file("limit", "max");
  {
    auto change = JournaledChange::make(*journal_, change_of(file, "max", "10"), [&]() -> Status {
      EXPECT_TRUE(on_record());
      write(file, "10");
      return {};
    });
    ASSERT_TRUE(change) << change.error().message;
    EXPECT_EQ(journal_->open_changes(), 1U);
  }
  EXPECT_EQ(read(file), "max");
  EXPECT_FALSE(on_record());
  EXPECT_EQ(journal_->open_changes(), 0U);
}

TEST_F(Undo, AChangeThatFailsLeavesNothing) {
  const fs::path file = make_file("limit", "max");
  const auto change = JournaledChange::make(*journal_, change_of(file, "max", "10"),
                                            []() -> Status { return fail(Errc::kInternal, "no"); });
  ASSERT_FALSE(change);
  EXPECT_FALSE(on_record());
  EXPECT_EQ(read(file), "max");
}

TEST_F(Undo, WithoutAGuardianNothingIsRecorded) {
  journal_->set_guarded(false);
  const auto refused = journal_->record(ClsactAdded{1, 2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  EXPECT_FALSE(on_record());
}

TEST_F(Undo, ARecordThatTheDiskCutsShortHidesNoLaterOne) {
  const fs::path first = make_file("first", "old");
  const fs::path second = make_file("second", "old");
  ASSERT_TRUE(journal_->record(change_of(first, "old", "new")));
  write(first, "new");
  const std::size_t whole = bytes().size();
  // Room for the first copy of the next entry and a part of the second. The signal that goes with it is not wanted.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit narrow = before;
  narrow.rlim_cur = whole + whole / 2 + 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &narrow), 0);
  const auto refused = journal_->record(change_of(second, "old", "never"));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(bytes().size(), whole);

  ASSERT_TRUE(journal_->record(change_of(second, "old", "new")));
  write(second, "new");
  const UndoReplay done = replay();
  EXPECT_TRUE(done.complete());
  EXPECT_EQ(done.items.size(), 2U);
  EXPECT_EQ(read(first), "old");
  EXPECT_EQ(read(second), "old");
}

TEST_F(Undo, DuringAHangTheRecordsStay) {
  const fs::path file = make_file("limit", "max");
  ASSERT_TRUE(journal_->record(change_of(file, "max", "10")));
  write(file, "10");
  EXPECT_EQ(replay(ReplayMode::kDuringHang).items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_EQ(read(file), "max");
  EXPECT_TRUE(on_record());
  // The daemon that came back makes its change after all, and dies.
  write(file, "10");
  EXPECT_EQ(replay().items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_EQ(read(file), "max");
}

/// A process of the test's own.
class Sleeper {
 public:
  Sleeper() : child_("/bin/sleep", {"sleep", "1000"}) {}
  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  [[nodiscard]] ProcessStopped stop() const {
    EXPECT_EQ(::kill(pid(), SIGSTOP), 0);
    EXPECT_TRUE(comes_to('T'));
    return {pid(), start_ticks(pid()).value_or(0)};
  }
  [[nodiscard]] bool comes_to(char state) const {
    for (int i = 0; i < 1000; ++i) {
      const auto stat = proc::process_stat("/proc", pid());
      if (stat && stat->state == state) return true;
      ::usleep(5000);
    }
    return false;
  }

 private:
  test::Child child_;
};

TEST_F(Undo, AStoppedProcessGoesOn) {
  const Sleeper sleeper;
  const ProcessStopped stopped = sleeper.stop();
  ASSERT_TRUE(journal_->record(stopped));
  EXPECT_EQ(replay(ReplayMode::kDryRun).items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_TRUE(sleeper.comes_to('T'));
  EXPECT_EQ(replay().items.at(0).result.outcome, UndoOutcome::kUndone);
  EXPECT_TRUE(sleeper.comes_to('S'));
  EXPECT_EQ(undo(stopped).outcome, UndoOutcome::kNotNeeded);
}

TEST_F(Undo, AProcessThatGotTheNumberIsNotTouched) {
  const Sleeper sleeper;
  ProcessStopped stopped = sleeper.stop();
  ++stopped.start_ticks;
  EXPECT_EQ(undo(stopped).outcome, UndoOutcome::kGone);
  EXPECT_TRUE(sleeper.comes_to('T'));
}

class Journaled : public Undo {
 protected:
  [[nodiscard]] JournaledValue open(const fs::path& file) const {
    auto value = JournaledValue::open(*journal_, {file.string()}, "1");
    EXPECT_TRUE(value) << value.error().message;
    return std::move(*value);
  }
};

TEST_F(Journaled, OneRecordForAllPulses) {
  const fs::path file = make_file("freeze", "0");
  {
    JournaledValue value = open(file);
    EXPECT_FALSE(on_record());
    for (int pulse = 0; pulse < 3; ++pulse) {
      ASSERT_TRUE(value.set());
      EXPECT_EQ(read(file), "1");
      EXPECT_EQ(journal_->open_changes(), 1U);
      ASSERT_TRUE(value.reset());
      EXPECT_EQ(read(file), "0");
      EXPECT_EQ(journal_->open_changes(), 1U);
    }
    ASSERT_TRUE(value.set());
  }
  EXPECT_EQ(read(file), "0");
  EXPECT_FALSE(on_record());
}

TEST_F(Journaled, WhatSomebodyElseWritesStaysAndIsTold) {
  const fs::path file = make_file("freeze", "0");
  JournaledValue value = open(file);
  ASSERT_TRUE(value.set());
  write(file, "7");
  EXPECT_FALSE(value.check());
  EXPECT_THAT(value.conflict(), HasSubstr("reads '7', where it was '1'"));
  EXPECT_FALSE(value.reset());
  EXPECT_EQ(value.finish().outcome, UndoOutcome::kTheirs);
  EXPECT_EQ(read(file), "7");
  EXPECT_FALSE(on_record());
}

TEST_F(Journaled, SomebodyElseWhoWritesOurValueBetweenPulsesKeepsIt) {
  const fs::path file = make_file("freeze", "0");
  JournaledValue value = open(file);
  ASSERT_TRUE(value.set());
  ASSERT_TRUE(value.reset());
  write(file, "1");
  EXPECT_EQ(value.finish().outcome, UndoOutcome::kTheirs);
  EXPECT_EQ(read(file), "1");
}

TEST_F(Journaled, WhatIsSoAlreadyIsNobodysToUndo) {
  const fs::path file = make_file("freeze", "1");
  JournaledValue value = open(file);
  const Status set = value.set();
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code, Errc::kRefused);
  EXPECT_FALSE(on_record());
}

TEST_F(Journaled, WithoutAGuardianNothingIsWritten) {
  const fs::path file = make_file("freeze", "0");
  JournaledValue value = open(file);
  journal_->set_guarded(false);
  const Status set = value.set();
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code, Errc::kUnavailable);
  EXPECT_EQ(read(file), "0");
}

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

TEST_F(Undo, WhatCannotBeUndoneStaysOnRecord) {
  const fs::path file = make_file("limit", "max");
  ASSERT_TRUE(journal_->record(change_of(file, "max", "10")));
  // Something that cannot be opened, and so not be told.
  fs::remove(file);
  fs::create_symlink(file, file);
  EXPECT_FALSE(replay().complete());
  EXPECT_TRUE(on_record());
  const auto refused = UndoJournal::open(dir_.path());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not undone"));
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
