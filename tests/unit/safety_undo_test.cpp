// The undo journal: a crash at any point between record, change and mark, and somebody else's change meanwhile; the
// host is a file that stands for one of the kernel's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include <nlohmann/json.hpp>

#include "kernel/proc_tree.h"
#include "kernel/processes.h"
#include "safety/journaled_value.h"
#include "safety_undo_support.h"
#include "tests/support/child.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

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

}  // namespace
}  // namespace chaos
