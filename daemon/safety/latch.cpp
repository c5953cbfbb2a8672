#include "safety/latch.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "base/unique_fd.h"

namespace chaos {
namespace {

constexpr const char* kFileName = "emergency-stop";
constexpr std::size_t kMaxReason = 1024;

Status sync_directory(const std::filesystem::path& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(directory.string());
  if (::fsync(fd.get()) != 0) return fail_errno("fsync " + directory.string());
  return {};
}

Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write");
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Latch::Latch(std::filesystem::path state_dir) : file_(state_dir / kFileName) {
  const std::filesystem::path directory = file_.parent_path();
  const UniqueFd dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid()) {
    engaged_ = true;
    reason_ = fail_errno("state directory " + directory.string()).error().message;
    return;
  }
  const UniqueFd file(::openat(dir.get(), kFileName, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return;
  engaged_ = true;
  std::array<char, kMaxReason> buffer{};
  const ssize_t size = file.valid() ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (size < 0) {
    reason_ = fail_errno(file_.string()).error().message;
    return;
  }
  reason_.assign(buffer.data(), static_cast<std::size_t>(size));
  while (reason_.ends_with('\n')) reason_.pop_back();
}

Status Latch::engage(std::string reason) {
  engaged_ = true;
  reason_ = std::move(reason);
  if (reason_.size() > kMaxReason) reason_.resize(kMaxReason);
  const UniqueFd fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return fail_errno(file_.string());
  // The file latches by being there; its text is for people, so a torn write is no harm.
  if (auto done = write_all(fd.get(), reason_); !done) return with_context(file_.string(), std::move(done.error()));
  if (::fsync(fd.get()) != 0) return fail_errno("fsync " + file_.string());
  return sync_directory(file_.parent_path());
}

Status Latch::release() {
  if (::unlink(file_.c_str()) != 0 && errno != ENOENT) return fail_errno("remove " + file_.string());
  if (auto done = sync_directory(file_.parent_path()); !done) return done;
  engaged_ = false;
  reason_.clear();
  return {};
}

}  // namespace chaos
