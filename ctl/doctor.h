// Doctor: what of this host chaosd needs, as checks with advice. Reads /proc, /sys and /etc below a root directory, so
// that tests can give it another host. Pure but for that reading; any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "ctl/problem.h"

namespace chaos::ctl {

enum class Verdict { kOk, kWarn, kFail };

struct Check {
  std::string name;
  Verdict verdict = Verdict::kOk;
  std::string meaning;  ///< what was found, and what it means for chaosd
  std::string advice;   ///< what to do; empty when nothing is to be done
};

struct HostView {
  std::filesystem::path root = "/";
  std::string socket;                                          ///< absolute; below `root`
  bool is_root = false;                                        ///< effective uid 0
  std::function<bool(const std::string& group)> group_exists;  ///< in the group database
  bool daemon_answers = false;                                 ///< chaosd runs, so it has what it needs
};

/// A check that fails is one without which chaosd cannot work here at all.
[[nodiscard]] std::vector<Check> check_host(const HostView& host);
/// The daemon's own word: GET /health and GET /api/chaos/features, each null if it could not be had.
[[nodiscard]] std::vector<Check> check_daemon(const Json& health, const Json& features);

}  // namespace chaos::ctl
