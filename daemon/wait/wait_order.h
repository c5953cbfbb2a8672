// WaitOrder: what a wait server is told when it is started. Values; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "line/shapes.h"

namespace chaos {

/// No wait is longer, whatever was asked for: a task that sleeps in a program holds up others' programs (KERNEL.md).
inline constexpr std::chrono::nanoseconds kLongestWait{5'000'000'000};

struct WaitOrder {
  DelayShape shape;  ///< delay, jitter, distribution, table
  std::uint64_t seed = 0;
  std::uint32_t limit = 0;  ///< of waits at a time
};

/// How long the call with this number is to wait: by it, the seed and the shape alone; kLongestWait at most.
[[nodiscard]] std::chrono::nanoseconds wait_of(const WaitOrder& order, std::uint64_t number);

/// As words of a command line, and back. Error: kInvalid.
[[nodiscard]] std::vector<std::string> to_words(const WaitOrder& order);
[[nodiscard]] Result<WaitOrder> order_of(std::span<char* const> words);

}  // namespace chaos
