// UndoAction: one change of the host that outlives chaosd, with what it takes to recognise and to undo it. Undoing is
// idempotent and never touches what somebody else has changed since. Needs root; blocks; any thread but the loop's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace chaos {

/// A clsact qdisc that was not there before. Undone only when no filter of anybody's hangs on it.
struct ClsactAdded {
  std::uint64_t netns = 0;  ///< inode of the network namespace
  unsigned ifindex = 0;
  friend bool operator==(const ClsactAdded&, const ClsactAdded&) = default;
};

/// A classic tc filter; it is ours while this program is at this place.
struct TcFilterAdded {
  std::uint64_t netns = 0;
  unsigned ifindex = 0;
  bool egress = false;
  std::uint32_t priority = 0;
  std::uint32_t handle = 0;
  std::uint32_t program = 0;
  friend bool operator==(const TcFilterAdded&, const TcFilterAdded&) = default;
};

/// A value written into a file of the kernel's (cgroup, sysctl); it is ours while it reads as it was written.
struct FileValueChanged {
  std::string path;
  dev_t device = 0;  ///< with inode: a cgroup that was made anew is another
  ino_t inode = 0;
  std::string before;   ///< as read (see kernel_value.h)
  std::string written;  ///< as it reads back after the change, likewise
  std::string key{};    ///< which value of the file is meant; empty: all of it
  friend bool operator==(const FileValueChanged&, const FileValueChanged&) = default;
};

/// A process brought to a halt by SIGSTOP. Undone by SIGCONT, which goes to one that seems to run as well; that
/// somebody else has stopped it too cannot be seen.
struct ProcessStopped {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< with the pid: a later process of this number is another
  friend bool operator==(const ProcessStopped&, const ProcessStopped&) = default;
};

/// Soft limits of open files that were lowered. What these processes have forked since has the limit by inheritance: it
/// is found by its ancestors, or, where those have ended, by its cgroup or its session.
struct FdLimitsLowered {
  struct One {
    pid_t pid = 0;
    std::uint64_t start_ticks = 0;
    std::uint64_t before = 0;
    std::uint64_t hard = 0;  ///< unchanged
    pid_t session = 0;       ///< 0: unknown
    std::string cgroup{};    ///< Process::cgroup; "/" tells nothing
    friend bool operator==(const One&, const One&) = default;
  };
  std::uint64_t written = 0;
  std::vector<One> processes{};
  friend bool operator==(const FdLimitsLowered&, const FdLimitsLowered&) = default;
};

using UndoAction = std::variant<ClsactAdded, TcFilterAdded, FileValueChanged, ProcessStopped, FdLimitsLowered>;

enum class UndoOutcome : std::uint8_t {
  kUndone,
  kNotNeeded,  ///< as it was before: the change was not made, or was undone already
  kGone,       ///< the object of the change does not exist any more
  kTheirs,     ///< somebody else has changed it since; it stays as it is
  kFailed,     ///< the change may still be there
};
[[nodiscard]] std::string_view to_string(UndoOutcome outcome);

struct UndoResult {
  UndoOutcome outcome = UndoOutcome::kFailed;
  std::string detail;  ///< for people; why, where that is not obvious
};

/// One line for people: "tc filter on ifindex 4 egress, prio 1, handle 0x1, in netns 4026531840".
[[nodiscard]] std::string describe(const UndoAction& action);
/// What undo() would do, without doing it.
[[nodiscard]] UndoResult look(const UndoAction& action);
UndoResult undo(const UndoAction& action);

[[nodiscard]] nlohmann::json to_json(const UndoAction& action);
/// Error: kInvalid.
[[nodiscard]] Result<UndoAction> undo_action_from(const nlohmann::json& json);

}  // namespace chaos
