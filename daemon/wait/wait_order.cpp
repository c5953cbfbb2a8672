#include "wait/wait_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "base/units.h"

namespace chaos {

std::chrono::nanoseconds wait_of(const WaitOrder& order, std::uint64_t number) {
  // Another stream than the one that chooses the calls.
  const std::uint64_t hash = next_hash(next_hash(~order.seed) ^ next_hash(number));
  return std::min(requested_delay(order.shape, hash, std::chrono::nanoseconds(0)), kLongestWait);
}

std::vector<std::string> to_words(const WaitOrder& order) {
  std::vector<std::string> words{fmt::format("delay={}", order.shape.delay.count()),
                                 fmt::format("jitter={}", order.shape.jitter.count()),
                                 fmt::format("distribution={}", static_cast<int>(order.shape.distribution)),
                                 fmt::format("seed={}", order.seed), fmt::format("limit={}", order.limit)};
  for (const auto value : order.shape.table) words.push_back(fmt::format("table={}", value.count()));
  return words;
}

Result<WaitOrder> order_of(std::span<char* const> words) {
  WaitOrder order;
  for (const std::string_view word : words) {
    const std::size_t equals = word.find('=');
    const auto value = equals == std::string_view::npos ? Result<std::uint64_t>(fail(Errc::kInvalid, "no value"))
                                                        : parse_unsigned(word.substr(equals + 1));
    if (!value) return fail(Errc::kInvalid, "a wait server is started with \"" + std::string(word) + "\"");
    const std::string_view name = word.substr(0, equals);
    const std::chrono::nanoseconds time(static_cast<std::int64_t>(*value));
    if (name == "delay") order.shape.delay = time;
    if (name == "jitter") order.shape.jitter = time;
    if (name == "table") order.shape.table.push_back(time);
    if (name == "distribution") order.shape.distribution = static_cast<Distribution>(*value);
    if (name == "seed") order.seed = *value;
    if (name == "limit") order.limit = static_cast<std::uint32_t>(*value);
  }
  return order;
}

}  // namespace chaos
