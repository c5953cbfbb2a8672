// For tests that need root and a real kernel: skip with a reason on a user's machine, fail in CI (STYLE, "Tests").
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace chaos::test {

[[nodiscard]] inline bool kernel_tests_required() {
  const char* value = std::getenv("CHAOS_REQUIRE_KERNEL");
  return value != nullptr && std::string_view(value) == "1";
}

}  // namespace chaos::test

/// Ends the test: as skipped, or as failed where CHAOS_REQUIRE_KERNEL=1.
#define CHAOS_CANNOT_RUN(reason)                                                              \
  do {                                                                                        \
    if (chaos::test::kernel_tests_required()) FAIL() << "CHAOS_REQUIRE_KERNEL=1: " << reason; \
    GTEST_SKIP() << reason;                                                                   \
  } while (false)

#define CHAOS_NEEDS_ROOT()                                          \
  do {                                                              \
    if (::geteuid() != 0) CHAOS_CANNOT_RUN("needs to run as root"); \
  } while (false)
