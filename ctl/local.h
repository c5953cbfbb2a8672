// Local: what chaosctl does on this host by itself, without a daemon, with the daemon's own code: look for residue,
// replay the undo journal, engage the latch. Isolated here so that nothing else of ctl/ depends on daemon/safety. Needs
// root.
#pragma once

#include <filesystem>
#include <string>

#include "ctl/problem.h"

namespace chaos::ctl {

/// In the form of GET /api/chaos/residue. Empty `instance`: the default one. Errors: kDenied if not root.
[[nodiscard]] Outcome<Json> scan_residue(const std::string& instance, const std::filesystem::path& runtime_dir);

/// Replays the undo journal (safety/undo_replay.h): members complete, changes [{change, outcome, detail}],
/// damaged_copies, lost_records.
[[nodiscard]] Outcome<Json> replay_journal(const std::filesystem::path& runtime_dir, bool dry_run);

/// As an emergency stop of the daemon does: nothing starts, over restarts and reboots, until `rearm`.
[[nodiscard]] Status engage_latch(const std::filesystem::path& state_dir, const std::string& reason);

}  // namespace chaos::ctl
