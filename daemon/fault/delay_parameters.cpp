#include "fault/delay_parameters.h"

#include <algorithm>
#include <string>
#include <vector>

namespace chaos {
namespace {

using std::chrono::nanoseconds;

Result<std::vector<nanoseconds>> parse_table(const std::string& text) {
  constexpr std::size_t kLongest = 1024;
  const auto bad = [](const std::string& what) {
    return fail(Errc::kInvalid, what, "parameters.table", "2 to 1024 delays, ascending, with commas between them",
                "such as 1ms,2ms,5ms,80ms");
  };
  std::vector<nanoseconds> table;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const auto value = parse_duration(text.substr(begin, end - begin));
    if (!value) return bad("'" + text.substr(begin, end - begin) + "' is no delay");
    if (!table.empty() && *value < table.back()) return bad("the table is not ascending");
    if (*value > std::chrono::seconds(60)) return bad("a delay is above 60s");
    table.push_back(*value);
    begin = end + 1;
  }
  if (table.size() < 2 || table.size() > kLongest)
    return bad("the table has " + std::to_string(table.size()) + " delays");
  return table;
}

}  // namespace

Result<DelayShape> delay_of(const Parameters& parameters) {
  DelayShape shape;
  shape.delay = duration_or_zero(parameters, "delay");
  shape.jitter = duration_or_zero(parameters, "jitter");
  const auto distribution = get_string(parameters, "distribution");
  if (!distribution) return std::unexpected(distribution.error());
  for (const auto& [name, value] : kDistributions) {
    if (name == *distribution) shape.distribution = value;
  }
  if (shape.distribution != Distribution::kEmpirical) return shape;
  const auto text = get_string(parameters, "table");
  if (!text) return std::unexpected(text.error());
  auto table = parse_table(*text);
  if (!table) return std::unexpected(table.error());
  shape.table = std::move(*table);
  return shape;
}

}  // namespace chaos
