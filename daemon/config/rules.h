// Rules between the fields of a configuration. Internal to config/.
#pragma once

#include "config/config.h"
#include "config/findings.h"

namespace chaos::config_detail {

/// Adds errors for fields that contradict each other and warnings for what is likely a slip. Fields that already have
/// an error are left out.
void check_rules(const Config& config, Findings& findings);

}  // namespace chaos::config_detail
