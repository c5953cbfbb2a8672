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
#include <filesystem>
#include <optional>
#include <thread>

#include "kernel/proc_tree.h"

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
  return Netns(std::move(fd), st.st_ino, path);
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

Result<Netns> Netns::find(std::uint64_t inode) {
  const auto candidate = [inode](const std::string& path) -> std::optional<Netns> {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 || st.st_ino != inode) return std::nullopt;
    // A process may have ended meanwhile, and another file may have the number.
    auto found = from_path(path);
    if (!found || found->inode() != inode) return std::nullopt;
    return std::move(*found);
  };
  if (auto own = candidate("/proc/self/ns/net")) return std::move(*own);
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/run/netns", error), end; !error && entry != end;
       entry.increment(error)) {
    if (auto found = candidate(entry->path().string())) return std::move(*found);
  }
  const auto pids = proc::list_processes("/proc");
  if (!pids) return std::unexpected(pids.error());
  for (const pid_t pid : *pids) {
    if (auto found = candidate("/proc/" + std::to_string(pid) + "/ns/net")) return std::move(*found);
  }
  return fail(Errc::kNotFound, "network namespace " + std::to_string(inode) + " is gone");
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
