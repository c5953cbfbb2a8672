// Loading of chaosd.yaml: text → checked Config. The schema (config/schema.h) is applied key by key, then the rules
// between fields. Pure functions but for reading the file and looking up time zones; any thread. The file is trusted
// once it has loaded: nothing checks a Config again.
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace chaos {

struct ConfigReport {
  Config config;
  std::vector<std::string> warnings;       ///< "FILE:LINE:COLUMN: KEY: ...": loads, but is likely not what was meant
  std::vector<std::string> not_in_effect;  ///< keys of the file that this version checks and keeps, nothing more
};

/// All that is wrong with the file, in the order of its lines. Never empty.
using ConfigErrors = std::vector<Error>;

/// Everything that can be said about the text. `file_name` is only printed: "chaosd.yaml:12:5: KEY: what is wrong".
/// Each error names field, rule and, where there is one, what to do. An empty document is the default configuration.
[[nodiscard]] std::expected<ConfigReport, ConfigErrors> check_config(std::string_view yaml, std::string_view file_name);

/// As check_config, all errors folded into one (kInvalid): one line of the message each; field and rule are the
/// first's.
[[nodiscard]] Result<Config> parse_config(std::string_view yaml, std::string_view file_name);

/// Reads and checks a file. Errors: kNotFound or kInternal if it cannot be read, else as parse_config.
[[nodiscard]] Result<ConfigReport> load_config(const std::filesystem::path& path);
/// As load_config, with every error by itself (for `chaosctl config check`).
[[nodiscard]] std::expected<ConfigReport, ConfigErrors> check_config_file(const std::filesystem::path& path);

}  // namespace chaos
