#include "kernel/host_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include <cstring>

namespace chaos {
namespace {

constexpr const char* kHostRoot = "/proc/1/root";

/// Below `root`, symbolic links included: one that leads to "/x" leads to the x of that root.
UniqueFd open_within(int root, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags);
  how.resolve = RESOLVE_IN_ROOT;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

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
