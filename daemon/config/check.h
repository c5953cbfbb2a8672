// The checker: walks the YAML document along the schema, reports what does not fit, and stores what does. Internal to
// config/; yaml-cpp stays in check.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/findings.h"

namespace chaos::config_detail {

struct Checked {
  Config config;                           ///< values of faulty keys are the defaults
  std::vector<std::string> not_in_effect;  ///< in the order of the file
};

/// Findings get every key that is unknown, doubled, ill-typed, out of range or missing. Never throws.
[[nodiscard]] Checked check_document(std::string_view yaml, Findings& findings);

}  // namespace chaos::config_detail
