// Numbers out of what others say: a Prometheus text, a JSON document, the output of a command. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

/// The only number in `text`, blanks around it aside. Error: kInvalid.
[[nodiscard]] Result<double> number_in(std::string_view text);
/// The sum of all series of `metric` in a text of Prometheus' or OpenMetrics' format. Errors: kNotFound (there is
/// none), kInvalid (its value is no number).
[[nodiscard]] Result<double> number_in_exposition(std::string_view text, std::string_view metric);
/// The number at an RFC 6901 pointer ("" is the whole document); a string that is a number counts. Errors: kInvalid
/// (no JSON, no number there), kNotFound (nothing there).
[[nodiscard]] Result<double> number_in_json(std::string_view text, const std::string& pointer);

}  // namespace chaos
