// time_scale: how much slower than a real machine this one is taken to be, for the limits of tests. The virtual machine
// lane sets it; on real machines it is 1, and every limit is what the test says.
#pragma once

#include <cstdlib>

namespace chaos::test {

/// CHAOS_TIME_SCALE; 1 when that is unset or less.
[[nodiscard]] inline double time_scale() {
  const char* value = std::getenv("CHAOS_TIME_SCALE");
  const double scale = value == nullptr ? 1 : std::strtod(value, nullptr);
  return scale >= 1 ? scale : 1;
}

}  // namespace chaos::test
