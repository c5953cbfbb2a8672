// Where a second YAML document begins. Internal to config/.
#pragma once

#include <optional>
#include <string>

#include "config/findings.h"

namespace chaos::config_detail {

/// Empty if there is one document or none. Throws what yaml-cpp throws. YAML::LoadAll does not serve: at a
/// comma outside of brackets yaml-cpp 0.7 makes documents without consuming the comma, until memory runs out.
[[nodiscard]] std::optional<Position> second_document(const std::string& yaml);

}  // namespace chaos::config_detail
