#include "kernel/host_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <list>
#include <sstream>

namespace chaos {
namespace {

constexpr const char* kHostRoot = "/proc/1/root";

/// As the kernel's own limit (path_resolution(7)).
constexpr int kMostLinks = 40;

/// What is between the slashes, in front of what is there.
void put_before(std::list<std::string>& names, const std::string& path) {
  std::istringstream text(path);
  std::list<std::string> found;
  for (std::string name; std::getline(text, name, '/');) {
    if (!name.empty() && name != ".") found.push_back(name);
  }
  names.splice(names.begin(), found);
}

bool is_same(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

/// Where a symbolic link leads; empty if it is none.
std::string target_of(int fd) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(fd, "", text.data(), text.size());
  return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : std::string();
}

}  // namespace

UniqueFd open_within(int root, const std::string& path, int flags) {
  constexpr int kStep = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd at(::openat(root, ".", kStep));
  std::list<std::string> names;
  put_before(names, path);
  for (int links = 0; at.valid() && !names.empty();) {
    const std::string name = std::move(names.front());
    names.pop_front();
    if (name == ".." && is_same(at.get(), root)) continue;
    UniqueFd next(::openat(at.get(), name.c_str(), kStep));
    const std::string target = next.valid() ? target_of(next.get()) : std::string();
    if (target.empty()) {
      at = std::move(next);
      continue;
    }
    if (++links > kMostLinks) {
      errno = ELOOP;
      return {};
    }
    put_before(names, target);
    if (target.starts_with('/')) at.reset(::openat(root, ".", kStep));
  }
  if (!at.valid() || (flags & O_PATH) != 0) return at;
  return UniqueFd(::openat(at.get(), ".", flags));
}

namespace {

Result<UniqueFd> open_on_host(const std::string& path, int flags, const char* what) {
  constexpr const char* kField = "parameters.path";
  if (!path.starts_with('/')) {
    return fail(Errc::kInvalid, fmt::format("path '{}' is not absolute", path), kField, "an absolute path",
                "begin it with /");
  }
  const UniqueFd root(::open(kHostRoot, O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd opened = root.valid() ? open_within(root.get(), path, flags) : UniqueFd(::open(path.c_str(), flags));
  if (opened.valid()) return opened;
  const int err = errno;
  const auto code = err == ENOENT ? Errc::kNotFound : err == ENOTDIR ? Errc::kInvalid : Errc::kInternal;
  return fail(code, fmt::format("open {} {}: {}", what, path, errno_name(err)), kField,
              fmt::format("a {} of this host", what), fmt::format("name a {} that is there", what));
}

}  // namespace

Result<UniqueFd> open_host_directory(const std::string& path) {
  return open_on_host(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, "directory");
}

Result<UniqueFd> open_host_path(const std::string& path) { return open_on_host(path, O_PATH | O_CLOEXEC, "path"); }

Result<FileSystemSpace> space_of(int fd) {
  struct statvfs space {};
  if (::fstatvfs(fd, &space) != 0) return fail_errno("ask how full the file system is");
  return FileSystemSpace{.used = (space.f_blocks - space.f_bfree) * space.f_frsize,
                         .left = space.f_bavail * space.f_frsize,
                         .unit = space.f_frsize};
}

Result<bool> is_memory(int fd) {
  struct statfs about {};
  if (::fstatfs(fd, &about) != 0) return fail_errno("ask what file system it is");
  return about.f_type == TMPFS_MAGIC || about.f_type == static_cast<decltype(about.f_type)>(RAMFS_MAGIC);
}

dev_t device_of(int fd) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 ? about.st_dev : 0;
}

}  // namespace chaos
