// The cgroups that limit a set of processes in one controller: directories of the v2 tree where the controller is
// there, else of its v1 hierarchy. Looks at mounts, /proc and the trees; changes nothing. Any thread; blocks on the
// file system.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/cgroup.h"
#include "kernel/processes.h"

namespace chaos {

/// One controller, by what names it in both versions.
struct Controller {
  std::string_view name;     ///< "pids"
  std::string_view v2_file;  ///< a file that a cgroup has where the controller is enabled for it
};

struct ControlledCgroups {
  bool v2 = false;
  std::vector<std::filesystem::path> directories;
};

/// Where to look; the defaults are the host's.
struct ControllerSources {
  std::filesystem::path proc = "/proc";
  std::filesystem::path mounts = "/proc/self/mounts";
};

/// `cgroups` of the v2 tree, all of which is meant; or, where they have no such controller, what `members` are in in
/// its v1 hierarchy. A v1 cgroup is taken only if no other process is in it or below it. Errors: kUnsupported (no such
/// controller here, or not for this target), kRefused (a cgroup that is shared with others).
[[nodiscard]] Result<ControlledCgroups> controlled_cgroups(const Controller& controller,
                                                           const std::vector<Cgroup>& cgroups,
                                                           const std::vector<ProcessId>& members,
                                                           const ControllerSources& sources = {});

}  // namespace chaos
