// Local: what chaosctl does on this host by itself, without a daemon, with the daemon's own code: look for residue and
// engage the latch. Isolated here so that nothing else of ctl/ depends on daemon/safety. Needs root.
#pragma once

#include <filesystem>
#include <string>

#include "ctl/problem.h"

namespace chaos::ctl {

/// In the form of GET /api/chaos/residue. Empty `instance`: the default one. Errors: kDenied if not root.
[[nodiscard]] Outcome<Json> scan_residue(const std::string& instance, const std::filesystem::path& runtime_dir);

/// As an emergency stop of the daemon does: nothing starts, over restarts and reboots, until `rearm`.
[[nodiscard]] Status engage_latch(const std::filesystem::path& state_dir, const std::string& reason);

}  // namespace chaos::ctl
