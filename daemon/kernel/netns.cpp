#include "kernel/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cctype>
#include <thread>

namespace chaos {

Result<Netns> Netns::from_path(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return fail_errno("open network namespace " + path);
  struct statfs fs {};
  struct stat st {};
  if (fstatfs(fd.get(), &fs) != 0 || fstat(fd.get(), &st) != 0) return fail_errno("examine " + path);
  if (fs.f_type != NSFS_MAGIC || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
    return fail(Errc::kInvalid, path + " is not a network namespace", "target.netns",
                "name, path or pid of a namespace", "see `ip netns list` or use a pid");
  }
  return Netns(std::move(fd), st.st_ino);
}

Result<Netns> Netns::current() { return from_path("/proc/self/ns/net"); }

Result<Netns> Netns::open(std::string_view name) {
  std::string path(name);
  if (!path.empty() && std::ranges::all_of(path, [](unsigned char c) { return std::isdigit(c) != 0; })) {
    path = "/proc/" + path + "/ns/net";
  } else if (path.empty() || path == "." || path == ".." || (path[0] != '/' && path.contains('/'))) {
    return fail(Errc::kInvalid, "'" + path + "' names no network namespace", "target.netns",
                "a name under /run/netns, an absolute path or a pid");
  } else if (path[0] != '/') {
    path = "/run/netns/" + path;
  }
  auto ns = from_path(path);
  if (!ns && (ns.error().sys_errno == ENOENT || ns.error().sys_errno == ESRCH)) {
    return fail(Errc::kNotFound, "no network namespace '" + std::string(name) + "'", "target.netns", {},
                "see `ip netns list` or use a pid");
  }
  return ns;
}

bool Netns::is_initial() const {
  struct stat st {};
  return ::stat("/proc/1/ns/net", &st) == 0 && st.st_ino == inode_;
}

Status Netns::run(const std::function<void()>& job) const {
  Status status;
  std::thread thread([&] {
    if (setns(fd_.get(), CLONE_NEWNET) != 0) {
      status = fail_errno("enter network namespace");
      return;
    }
    job();
  });
  thread.join();
  return status;
}

}  // namespace chaos
