// Features: what this kernel can do, found out by doing it (loading programs, attaching in a namespace of its own), not
// by reading configuration or asking helpers, which give wrong answers (KERNEL, "The VM lane").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos {

struct Feature {
  std::string name;
  bool available = false;
  std::string reason;        ///< why not; empty if available
  std::string used_instead;  ///< what chaosd does without it; empty if nothing is needed
};

/// Whether tcx links work here. Makes one in a network namespace of its own: some 30 ms.
[[nodiscard]] bool has_tcx();
/// Probes everything; about 100 ms. Needs root. Leaves nothing behind. Worker thread.
[[nodiscard]] std::vector<Feature> probe_features();
/// The running kernel's release.
[[nodiscard]] std::string kernel_release();
/// One line for each thing that chaosd cannot start without and that is missing here: privilege, BTF, bpf(2).
[[nodiscard]] std::vector<std::string> preflight_problems();

}  // namespace chaos
