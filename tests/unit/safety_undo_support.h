// A journal of a test's own, with files that are changed and undone. Namespace chaos, as the tests of the journal are.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "safety/undo_journal.h"
#include "safety/undo_log.h"
#include "safety/undo_replay.h"
#include "tests/support/temp_dir.h"

namespace chaos {

class Undo : public testing::Test {
 protected:
  void SetUp() override { reopen(); }

  void reopen() {
    journal_.reset();
    std::filesystem::remove(undo_file(dir_.path()));
    auto journal = UndoJournal::open(dir_.path());
    ASSERT_TRUE(journal) << journal.error().message;
    journal_ = std::move(*journal);
    journal_->set_guarded(true);
  }
  std::filesystem::path make_file(const std::string& name, const std::string& value) {
    const std::filesystem::path path = dir_.path() / name;
    write(path, value);
    return path;
  }
  static void write(const std::filesystem::path& path, const std::string& value) {
    std::ofstream(path, std::ios::trunc) << value << '\n';
  }
  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }
  static FileValueChanged change_of(const std::filesystem::path& path, const std::string& before,
                                    const std::string& after) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return {path.string(), status.st_dev, status.st_ino, before, after};
  }
  [[nodiscard]] UndoReplay replay(ReplayMode mode = ReplayMode::kAfterDeath) const {
    auto done = replay_undo(dir_.path(), mode, "test");
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : UndoReplay{};
  }
  [[nodiscard]] bool on_record() const { return std::filesystem::exists(undo_file(dir_.path())); }
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

}  // namespace chaos
