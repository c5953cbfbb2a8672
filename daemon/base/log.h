// Logging: one process-wide default logger of spdlog, set up once in main. After that every layer that may log (daemon,
// routes, main) calls spdlog::info() and so on. set_up_logging: before other threads start; the rest: any thread.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/instance.h"
#include "base/result.h"

namespace chaos {

enum class JournaldUse : std::uint8_t {
  kAuto,  ///< if stderr is connected to the journal, as it is for a systemd service
  kOn,
  kOff,
};

struct LogOptions {
  std::string level = "info";            ///< trace, debug, info, warn, error, critical, off
  std::string file;                      ///< empty: no file
  std::uint64_t max_bytes = 10'000'000;  ///< size at which the file is rotated
  unsigned max_files = 5;                ///< rotated files that are kept beside the current one
  JournaldUse journald = JournaldUse::kAuto;
  std::string instance = std::string(kDefaultInstance);  ///< shown in every line unless it is the default one
};

/// Journal and file if they are configured, stderr if neither is. May be called again (reload): the old sinks go only
/// if the new ones could be opened. The file is made with mode 0640. Errors: kInvalid with field `log.…`, kInternal.
Status set_up_logging(const LogOptions& options);

/// Whether set_up_logging would log to the journal.
[[nodiscard]] bool logs_to_journal(const LogOptions& options);

/// Changes the level at run time. Error: kInvalid with field `log.level`.
Status set_log_level(std::string_view level);

/// Canonical name of the level in force.
[[nodiscard]] std::string log_level();

/// Whether the log goes to journald.
[[nodiscard]] bool logs_to_journal();

/// The name of an instance's log: "chaosd" or "chaosd-INSTANCE".
[[nodiscard]] std::string log_identifier(const std::string& instance);

/// True if `journal_stream` ("DEV:INODE", from $JOURNAL_STREAM, systemd.exec(5)) names the open file `stderr_stat`.
[[nodiscard]] bool journal_stream_matches(std::string_view journal_stream, const struct stat& stderr_stat);

}  // namespace chaos
