// Sockets that the processes of a cgroup target have though another cgroup made them: of systemd's socket units, of a
// parent, of before they were moved. Looks at descriptors and at sock_diag; blocks: worker thread only.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/handed_over.h"
#include "plan/socket_owners.h"

namespace chaos {

struct HandedOverSockets {
  std::vector<HandedOverSocket> sockets;  ///< each once
  std::vector<std::string> names;         ///< "tcp port 80 (listening)", each once, sorted
};

/// Those of `owners`, told apart by cgroups. Processes that end meanwhile are passed over. Errors: kUnsupported (no
/// sock_diag), kInternal.
[[nodiscard]] Result<HandedOverSockets> find_handed_over(const SocketOwners& owners);

}  // namespace chaos
