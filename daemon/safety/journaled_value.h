// JournaledValue: a value in a file of the kernel's (a cgroup's, say) that is changed under a record of the undo
// journal, as often as wanted: set and reset, with one record from the first time to the end. What somebody else has
// written meanwhile stays, and is told. One thread at a time, not the loop's: the first set() blocks on the disk, all
// on locks of the kernel's. Needs root.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "safety/kernel_value.h"
#include "safety/undo_journal.h"

namespace chaos {

class JournaledValue {
 public:
  /// Reads what is there; changes nothing. `value` as it reads back once it is written. `journal` must outlive it.
  /// Errors: kNotFound (no such file), kInternal.
  /// The destructor finishes.
  static Result<JournaledValue> open(UndoJournal& journal, const ValuePlace& place, std::string value);

  JournaledValue(JournaledValue&&) noexcept = default;
  JournaledValue& operator=(JournaledValue&&) = delete;
  ~JournaledValue() { (void)finish(); }

  [[nodiscard]] const std::string& before() const { return action_.before; }
  /// Errors: kRefused (somebody else has changed it: conflict() says how), kNotFound (the file is gone), kUnavailable
  /// (no guardian), kInternal (the kernel takes the value in another form, or not at all: it is as it was).
  Status set();
  /// As it was before; does nothing if it is. Error: kRefused as set(), kNotFound, kInternal (it may still be set).
  Status reset();
  /// Whether it is what set() or reset() has left. When it is not, conflict() says so from then on, and nothing is
  /// written any more. True for a file that is gone.
  bool check();
  /// The file is not there any more, or another has its place.
  [[nodiscard]] bool gone() const;
  /// Reset for good, and off the record. What is somebody else's stays as it is (kTheirs).
  UndoResult finish();

  /// "PATH reads '7', where it was '1': …"; empty while it is ours.
  [[nodiscard]] const std::string& conflict() const { return conflict_; }

 private:
  JournaledValue(UndoJournal& journal, FileValueChanged action, UniqueFd fd)
      : journal_(&journal), action_(std::move(action)), fd_(std::move(fd)) {}
  [[nodiscard]] ValuePlace place() const { return {action_.path, action_.key}; }
  Status write(const std::string& value) { return write_value(fd_.get(), value, place()); }
  [[nodiscard]] Result<std::string> read() const { return read_value(fd_.get(), place()); }

  UndoJournal* journal_;
  FileValueChanged action_;
  UniqueFd fd_;
  bool set_ = false;
  std::string conflict_;
  std::unique_ptr<JournaledChange> change_;  ///< from the first set() on
};

}  // namespace chaos
