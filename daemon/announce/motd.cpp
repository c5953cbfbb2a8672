#include "announce/motd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <system_error>

#include "base/instance.h"
#include "base/unique_fd.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNewSuffix = ".new";

enum class Owner : std::uint8_t { kNobody, kUs, kDead, kOther };

fs::path with_suffix(fs::path path) { return path += kNewSuffix; }

/// "/proc/PID/task/TID" of a link of ours; empty if it is none.
std::string process_of(const fs::path& target) {
  constexpr std::string_view kProc = "/proc/";
  const std::string text = target.string();
  if (!text.starts_with(kProc) || target.filename() != kMotdFile) return {};
  const std::size_t up = text.find("/..");
  return up == std::string::npos ? "" : text.substr(0, up);
}

Owner owner_of(const fs::path& entry) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(entry, error);
  if (status.type() == fs::file_type::not_found) return Owner::kNobody;
  if (error || status.type() != fs::file_type::symlink) return Owner::kOther;
  const std::string process = process_of(fs::read_symlink(entry, error));
  if (error || process.empty()) return Owner::kOther;
  if (process.starts_with(fmt::format("/proc/{}/", ::getpid()))) return Owner::kUs;
  return fs::exists(process, error) || error ? Owner::kOther : Owner::kDead;
}

/// The oldest thread beside the main one, which lives as long as the daemon; the kernel lists them by age.
std::string own_process() {
  const std::string main = std::to_string(::getpid());
  std::string thread = main;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/self/task", ignored)) {
    thread = entry.path().filename().string();
    if (thread != main) break;
  }
  return fmt::format("/proc/{}/task/{}", main, thread);
}

Status replace_text(const fs::path& path, std::string_view text) {
  const fs::path fresh = with_suffix(path);
  const UniqueFd fd(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid()) return fail_errno("make " + fresh.string());
  // For everybody, whatever the umask.
  if (::fchmod(fd.get(), 0644) != 0) return fail_errno("chmod " + fresh.string());
  const ssize_t written = ::write(fd.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) return fail_errno("write " + fresh.string());
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("rename to " + path.string());
  return {};
}

}  // namespace

Motd::Motd(std::string_view instance, const fs::path& runtime_dir, const fs::path& motd_dir)
    : text_(fs::absolute(runtime_dir) / kMotdFile), entry_(motd_dir / motd_name(instance)) {
  hide();
}

Motd::~Motd() { hide(); }

Status Motd::show(std::string_view text) {
  std::error_code error;
  if (!fs::is_directory(entry_.parent_path(), error)) return {};
  const Owner owner = owner_of(entry_);
  if (owner == Owner::kOther) {
    return fail(Errc::kRefused, entry_.string() + " is not chaosd's: left as it is", {}, {},
                "remove it if users are to be told at log-in when scenarios are active");
  }
  if (Status status = replace_text(text_, text); !status) return status;
  if (owner == Owner::kUs) return {};
  const fs::path fresh = with_suffix(entry_);
  fs::remove(fresh, error);
  fs::create_symlink(own_process() + "/../../../.." + text_.string(), fresh, error);
  if (error) return fail_errno("make " + fresh.string(), error.value());
  fs::rename(fresh, entry_, error);
  if (error) return fail_errno("rename to " + entry_.string(), error.value());
  return {};
}

void Motd::hide() {
  std::error_code ignored;
  for (const fs::path& entry : {entry_, with_suffix(entry_)}) {
    const Owner owner = owner_of(entry);
    if (owner == Owner::kUs || owner == Owner::kDead) fs::remove(entry, ignored);
  }
  fs::remove(text_, ignored);
  fs::remove(with_suffix(text_), ignored);
}

}  // namespace chaos
