#include "base/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/journal.h"

namespace chaos {
namespace {

std::atomic<bool> journal_in_use{false};

std::optional<spdlog::level::level_enum> level_from(std::string_view text) {
  namespace level = spdlog::level;
  for (const auto& [name, value] :
       std::initializer_list<std::pair<std::string_view, level::level_enum>>{{"trace", level::trace},
                                                                             {"debug", level::debug},
                                                                             {"info", level::info},
                                                                             {"warn", level::warn},
                                                                             {"error", level::err},
                                                                             {"critical", level::critical},
                                                                             {"off", level::off}}) {
    if (text == name) return value;
  }
  return std::nullopt;
}

std::unexpected<Error> bad_level(std::string_view level) {
  return fail(Errc::kInvalid, "no log level: \"" + std::string(level) + "\"", "log.level",
              "one of trace, debug, info, warn, error, critical, off");
}

bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 && journal_stream_matches(stream, status);
}

Result<bool> use_journal(const LogOptions& options) {
  if (options.journald == JournaldUse::kAuto) return stderr_is_the_journal();
  // sd_journal_send succeeds without a journal: nobody would see the log then.
  if (options.journald == JournaldUse::kOn && ::access(kJournalSocket, W_OK) != 0) {
    Error error = fail_errno(kJournalSocket).error();
    error.field = "log.journald";
    error.hint = "use auto or off where systemd-journald does not run";
    return std::unexpected(std::move(error));
  }
  return options.journald == JournaldUse::kOn;
}

Result<spdlog::sink_ptr> open_file(const LogOptions& options) {
  if (options.max_bytes == 0) return fail(Errc::kInvalid, "log file of size 0", "log.max_bytes", "greater than 0");
  spdlog::file_event_handlers handlers;
  handlers.after_open = [](const spdlog::filename_t&, std::FILE* file) {
    static_cast<void>(::fchmod(::fileno(file), S_IRUSR | S_IWUSR | S_IRGRP));
  };
  try {
    return std::make_shared<spdlog::sinks::rotating_file_sink_mt>(options.file, options.max_bytes, options.max_files,
                                                                  false, handlers);
  } catch (const std::exception& exception) {
    return fail(Errc::kInternal, std::string("log file: ") + exception.what(), "log.file");
  }
}

}  // namespace

bool logs_to_journal() { return journal_in_use.load(); }

std::string log_identifier(const std::string& instance) {
  return instance == kDefaultInstance ? "chaosd" : "chaosd-" + instance;
}

bool journal_stream_matches(std::string_view journal_stream, const struct stat& stderr_stat) {
  return journal_stream == std::to_string(stderr_stat.st_dev) + ":" + std::to_string(stderr_stat.st_ino);
}

Status set_up_logging(const LogOptions& options) {
  const auto level = level_from(options.level);
  if (!level) return bad_level(options.level);
  const std::string name = log_identifier(options.instance);

  std::vector<spdlog::sink_ptr> sinks;
  auto journal = use_journal(options);
  if (!journal) return std::unexpected(std::move(journal.error()));
  if (*journal) sinks.push_back(std::make_shared<spdlog::sinks::systemd_sink_mt>(name));
  if (!options.file.empty()) {
    auto file = open_file(options);
    if (!file) return std::unexpected(std::move(file.error()));
    sinks.push_back(std::move(*file));
  }
  if (sinks.empty()) sinks.push_back(std::make_shared<spdlog::sinks::stderr_color_sink_mt>());

  auto logger = std::make_shared<spdlog::logger>(name, sinks.begin(), sinks.end());
  logger->set_level(*level);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %n[%P] %^%l%$: %v", spdlog::pattern_time_type::utc);
  // A log that dies with its last lines in a buffer tells nothing; lines are few.
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  journal_in_use.store(*journal);
  return {};
}

bool logs_to_journal(const LogOptions& options) { return use_journal(options).value_or(false); }

Status set_log_level(std::string_view text) {
  const auto level = level_from(text);
  if (!level) return bad_level(text);
  spdlog::default_logger_raw()->set_level(*level);
  return {};
}

std::string log_level() {
  switch (spdlog::default_logger_raw()->level()) {
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default: {
      const auto name = spdlog::level::to_string_view(spdlog::default_logger_raw()->level());
      return {name.data(), name.size()};
    }
  }
}

}  // namespace chaos
