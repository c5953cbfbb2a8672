#include "config/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "config/check.h"
#include "config/findings.h"
#include "config/rules.h"

namespace chaos {
namespace {

constexpr std::size_t kMaxFileBytes = 1024 * 1024;

Result<std::string> read_file(const std::filesystem::path& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) {
    const int err = errno;
    auto error = fail_errno(fmt::format("read {}", path.string()), err);
    if (err == ENOENT) {
      error.error().code = Errc::kNotFound;
      error.error().hint = "check the path given with --config";
    }
    return error;
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail_errno(fmt::format("read {}", path.string()));
  if (!S_ISREG(info.st_mode)) return fail(Errc::kInvalid, fmt::format("read {}: not a regular file", path.string()));
  std::string text;
  char buffer[16 * 1024];
  while (true) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(fmt::format("read {}", path.string()));
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
    if (text.size() > kMaxFileBytes) {
      return fail(Errc::kTooLarge, fmt::format("read {}: larger than 1 MiB", path.string()), {}, "max 1MiB");
    }
  }
}

/// One error for callers that want one: every message on a line of its own.
Error fold(const ConfigErrors& errors) {
  Error folded = errors.front();
  if (errors.size() == 1) return folded;
  folded.message.clear();
  for (const Error& error : errors) {
    if (!folded.message.empty()) folded.message += '\n';
    folded.message += error.message;
    if (!error.hint.empty()) folded.message += fmt::format(" ({})", error.hint);
  }
  folded.hint.clear();
  return folded;
}

}  // namespace

std::expected<ConfigReport, ConfigErrors> check_config(std::string_view yaml, std::string_view file_name) {
  config_detail::Findings findings(file_name);
  config_detail::Checked checked = config_detail::check_document(yaml, findings);
  config_detail::check_rules(checked.config, findings);
  if (findings.any_errors()) return std::unexpected(findings.take_errors());
  return ConfigReport{std::move(checked.config), findings.take_warnings(), std::move(checked.not_in_effect)};
}

std::expected<ConfigReport, ConfigErrors> check_config_file(const std::filesystem::path& path) {
  auto text = read_file(path);
  if (!text) return std::unexpected(ConfigErrors{std::move(text.error())});
  return check_config(*text, path.string());
}

Result<Config> parse_config(std::string_view yaml, std::string_view file_name) {
  auto report = check_config(yaml, file_name);
  if (!report) return std::unexpected(fold(report.error()));
  return std::move(report->config);
}

Result<ConfigReport> load_config(const std::filesystem::path& path) {
  auto report = check_config_file(path);
  if (!report) return std::unexpected(fold(report.error()));
  return std::move(*report);
}

}  // namespace chaos
