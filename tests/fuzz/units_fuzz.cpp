// Quantities and addresses: what parses prints in a form that parses to the same.
#include <cstdint>
#include <string_view>

#include "base/units.h"
#include "check.h"
#include "ctl/text.h"
#include "plan/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto value = chaos::Probability::parse(text)) FUZZ_CHECK(chaos::Probability::parse(value->str()) == *value);
  if (const auto value = chaos::parse_duration(text)) {
    FUZZ_CHECK(value->count() >= 0);
    FUZZ_CHECK(chaos::parse_duration(chaos::format_duration(*value)) == *value);
  }
  if (const auto value = chaos::parse_bytes(text))
    FUZZ_CHECK(chaos::parse_bytes(chaos::format_bytes(*value)) == *value);
  if (const auto value = chaos::parse_bit_rate(text)) {
    FUZZ_CHECK(chaos::parse_bit_rate(chaos::format_bit_rate(*value)) == *value);
  }
  if (const auto value = chaos::parse_unsigned(text))
    FUZZ_CHECK(chaos::parse_unsigned(std::to_string(*value)) == *value);
  if (const auto value = chaos::Prefix::parse(text)) {
    FUZZ_CHECK(chaos::Prefix::parse(value->str()) == *value);
    FUZZ_CHECK(value->contains(*value));
  }
  (void)chaos::ctl::parse_rfc3339(text);
  return 0;
}
