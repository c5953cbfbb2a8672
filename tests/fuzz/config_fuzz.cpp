// chaosd.yaml: any bytes either load or are refused with reasons, each in one line that names the file.
#include <cstdint>
#include <string_view>

#include "check.h"
#include "config/load.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto report = chaos::check_config(text, "fuzz.yaml");
  const auto config = chaos::parse_config(text, "fuzz.yaml");
  FUZZ_CHECK(report.has_value() == config.has_value());
  if (!report) {
    FUZZ_CHECK(!report.error().empty());
    for (const chaos::Error& error : report.error()) {
      FUZZ_CHECK(error.message.starts_with("fuzz.yaml"));
      FUZZ_CHECK(error.message.find('\n') == std::string::npos);
    }
  }
  return 0;
}
