#include "kernel/cgroup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace chaos {
namespace {

/// "/a//b/" → "/a/b". Error: kInvalid for what is no place in a tree.
Result<std::string> normal(std::string_view path) {
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::kInvalid, fmt::format("cgroup '{}' {}", path, why), "target.cgroup",
                "a path in the cgroup v2 tree below its root", "as `systemd-cgls` or /proc/PID/cgroup show it");
  };
  if (!path.starts_with('/')) return wrong("is not absolute");
  std::string clean;
  for (const auto& part : std::filesystem::path(path)) {
    if (part == "/" || part == "." || part.empty()) continue;
    if (part == "..") return wrong("leads upwards");
    clean += '/' + part.string();
  }
  if (clean.empty()) return wrong("is the root: all of the host");
  return clean;
}

}  // namespace

Result<CgroupTree> CgroupTree::find(const std::filesystem::path& mounts) {
  std::ifstream file(mounts);
  std::string device;
  std::string mount_point;
  std::string type;
  while (file >> device >> mount_point >> type) {
    if (type == "cgroup2") return CgroupTree(mount_point);
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return fail(Errc::kUnsupported, "no cgroup v2 tree is mounted here", {}, "cgroup v2",
              "mount -t cgroup2 none /sys/fs/cgroup/unified, or aim at a network namespace");
}

Result<Cgroup> CgroupTree::get(std::string_view path) const {
  const std::string& mounted = mount_point_.native();
  if (path.starts_with(mounted) && (path.size() == mounted.size() || path[mounted.size()] == '/')) {
    path.remove_prefix(mounted.size());
    if (path.empty()) path = "/";
  }
  auto clean = normal(path);
  if (!clean) return std::unexpected(clean.error());
  struct stat st {};
  if (::stat((mounted + *clean).c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) {
    return fail(Errc::kNotFound, fmt::format("no cgroup {} below {}", *clean, mounted), "target.cgroup", {},
                "see `systemd-cgls`, or the line 0:: of /proc/PID/cgroup");
  }
  const auto level = static_cast<unsigned>(std::ranges::count(*clean, '/'));
  return Cgroup{std::move(*clean), st.st_ino, level};
}

std::set<std::uint64_t> CgroupTree::ids_within(const Cgroup& cgroup) const {
  std::set<std::uint64_t> ids{cgroup.id};
  std::error_code error;
  struct stat st {};
  for (std::filesystem::recursive_directory_iterator entry(mount_point_.native() + cgroup.path, error), end;
       !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    if (!entry->is_directory(gone)) continue;
    if (::stat(entry->path().c_str(), &st) == 0) ids.insert(st.st_ino);
  }
  return ids;
}

Result<Cgroup> CgroupTree::root() const {
  struct stat st {};
  if (::stat(mount_point_.c_str(), &st) != 0) return fail_errno("look at " + mount_point_.string());
  return Cgroup{"/", st.st_ino, 0};
}

Result<UniqueFd> CgroupTree::open_root() const {
  const auto cgroup = root();
  if (!cgroup) return std::unexpected(cgroup.error());
  return open(*cgroup);
}

Result<UniqueFd> CgroupTree::open(const Cgroup& cgroup) const {
  UniqueFd fd(::open((mount_point_.native() + cgroup.path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0 || st.st_ino != cgroup.id) {
    return fail(Errc::kNotFound, fmt::format("cgroup {} is gone", cgroup.path), "target.cgroup");
  }
  return fd;
}

}  // namespace chaos
