// The undoing of FdLimitsLowered: of the processes on record, and of all that have the limit from them. Looks at /proc;
// needs CAP_SYS_RESOURCE for processes of others; any thread but the loop's.
#pragma once

#include <optional>
#include <vector>

#include "kernel/processes.h"
#include "safety/undo_action.h"

namespace chaos {

UndoResult raise_fd_limits(const FdLimitsLowered& lowered);
/// What that would do.
[[nodiscard]] UndoResult look_at_fd_limits(const FdLimitsLowered& lowered);

/// Which of those on record `process`, which is not, may have a limit from: an ancestor of its, or one of its cgroup or
/// its session that began before. Null: none. `session`: its own.
[[nodiscard]] const FdLimitsLowered::One* origin_of(const FdLimitsLowered& lowered, const Process& process,
                                                    pid_t session, const std::vector<Process>& all);

}  // namespace chaos
