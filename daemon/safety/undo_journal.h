// UndoJournal: the third class of ownership (DESIGN). Before a change that outlives chaosd is made, what undoes it is
// written to RUNTIME_DIR/journal/changes.undo and on disk; afterwards it is marked. The file is there only while
// something is to be undone. After chaosd's death the guardian replays it, or chaosctl undo, or the next start: see
// undo_replay.h. Thread-safe; record() and the marks block on fsync: worker threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "safety/undo_action.h"
#include "safety/undo_log.h"

namespace chaos {

[[nodiscard]] std::filesystem::path undo_directory(const std::filesystem::path& runtime_dir);
[[nodiscard]] std::filesystem::path undo_file(const std::filesystem::path& runtime_dir);

class UndoJournal {
 public:
  /// Makes the directory (0700). What an earlier chaosd left must have been replayed before.
  static Result<std::unique_ptr<UndoJournal>> open(const std::filesystem::path& runtime_dir);

  /// An empty directory goes: an orderly end leaves nothing.
  ~UndoJournal();
  UndoJournal(const UndoJournal&) = delete;
  UndoJournal& operator=(const UndoJournal&) = delete;

  /// No change is made while nobody would undo it after a death: record() refuses then. Any thread.
  void set_guarded(bool guarded) { guarded_.store(guarded); }

  /// On disk when it returns: the change may be made. Errors: kUnavailable (no guardian), kInternal (disk); then the
  /// change must not be made.
  Result<std::uint64_t> record(const UndoAction& action);
  /// The change has been made.
  Status applied(std::uint64_t id);
  /// It has been undone, or was not made.
  Status undone(std::uint64_t id);
  /// Changes that are not undone.
  [[nodiscard]] std::size_t open_changes() const;

 private:
  explicit UndoJournal(std::filesystem::path directory) : directory_(std::move(directory)) {}
  Status append(UndoEntry entry);
  Status sync_directory() const;

  const std::filesystem::path directory_;
  std::atomic<bool> guarded_{false};
  mutable std::mutex mutex_;
  UniqueFd file_;
  std::uint64_t last_id_ = 0;
  std::uint64_t last_number_ = 0;
  off_t size_ = 0;  ///< of the file, up to its last whole entry
  std::set<std::uint64_t> open_;
};

/// A change made under a record; destroying it undoes it. Move-only. One thread at a time, not the loop's.
class JournaledChange {
 public:
  /// Records, makes the change, marks. On error nothing is left, neither change nor record.
  static Result<JournaledChange> make(UndoJournal& journal, UndoAction action, const std::function<Status()>& change);
  JournaledChange(JournaledChange&& other) noexcept;
  JournaledChange& operator=(JournaledChange&&) = delete;
  ~JournaledChange();

  [[nodiscard]] const UndoAction& action() const { return action_; }
  /// Undoes it now, for good. What failed stays on record: the guardian, or the next start, tries again. What somebody
  /// else has changed since is left as it is (kTheirs), and off the record.
  UndoResult undo_now();
  /// Off the record as it is: it is somebody else's now.
  void leave();

 private:
  JournaledChange(UndoJournal& journal, std::uint64_t id, UndoAction action)
      : journal_(&journal), id_(id), action_(std::move(action)) {}
  UndoJournal* journal_;
  std::uint64_t id_;
  UndoAction action_;
};

}  // namespace chaos
