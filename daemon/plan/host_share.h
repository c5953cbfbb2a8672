// What a scenario touches that is aimed at the host itself: all that runs on it, or, where it is about a file system
// (parameter `path`), those who use that one. Looks at /proc and at file systems; worker thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "kernel/processes.h"
#include "plan/blast_radius.h"
#include "plan/parameters.h"

namespace chaos {

struct HostShare {
  Footprint footprint;
  std::string all;                             ///< why it is everything; empty if it is not
  std::set<pid_t> users{};                     ///< processes that are touched, where it is not everything
  std::vector<std::string> protected_paths{};  ///< "path /srv/data", that lie on the file system
};

/// A file system that one of the host's own directories (/, /usr, /etc, /var, /tmp, …) is on is everybody's. Any other
/// is its users': those with a file or their working directory on it; it counts as one more member itself. Errors: as
/// open_host_directory().
[[nodiscard]] Result<HostShare> host_share(const Parameters& parameters, const Protect& protect,
                                           const Population& population, const std::vector<Process>& processes);

}  // namespace chaos
