// Another process of this same program: exec'ed, so that it shares nothing of this one's but what it is given. Any
// thread; the child's PR_SET_PDEATHSIG, if it asks for one, is about the thread that called.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace chaos {

/// `words`: argv, its name included. `fds` become its descriptors 3, 4, 5 and so on; it gets 0, 1 and 2 as they are
/// here, and nothing else. Error: kInternal.
[[nodiscard]] Result<pid_t> spawn_self(std::vector<std::string> words, const std::vector<int>& fds);

}  // namespace chaos
