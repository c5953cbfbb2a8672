#include "plan/host_share.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "kernel/block_device.h"
#include "kernel/host_path.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr std::array kEverybodys{"/", "/usr", "/etc", "/var", "/var/lib", "/tmp", "/var/tmp", "/var/log", "/var/spool"};

bool is_on(const fs::path& file, dev_t device) {
  struct stat about {};
  return ::stat(file.c_str(), &about) == 0 && about.st_dev == device;
}

/// The device of a directory of the host's, or of the nearest one above it that can be opened.
dev_t device_at(fs::path path) {
  for (;; path = path.parent_path()) {
    if (const auto directory = open_host_directory(path)) return device_of(directory->get());
    if (path == path.root_path()) return 0;
  }
}

/// Subvolumes and datasets have a number each, without a device, and the space of a pool between them: which one is not
/// told, so all of them count.
bool shares_space(dev_t one, dev_t other) { return one == other || (major(one) == 0 && major(other) == 0); }

/// Partitions of one disk have its throughput between them. `place` may be on none; which `path` is on may not be told:
/// then it counts as the same.
bool shares_disk(const fs::path& place, const std::string& path) {
  const auto disk = disk_of(path);
  const auto of_place = disk_of(place);
  return !disk || (of_place && of_place->numbers == disk->numbers);
}

/// Has its program, its working directory or an open file there.
bool uses(const Process& process, dev_t device) {
  const fs::path own = fs::path("/proc") / std::to_string(process.pid);
  if (is_on(own / "cwd", device) || is_on(own / "exe", device)) return true;
  std::error_code error;
  for (fs::directory_iterator fd(own / "fd", error), end; !error && fd != end; fd.increment(error)) {
    if (is_on(fd->path(), device)) return true;
  }
  return false;
}

}  // namespace

Result<HostShare> host_share(const Parameters& parameters, const Protect& protect, const Population& population,
                             const std::vector<Process>& processes) {
  HostShare share;
  const auto path = parameters.find("path");
  if (path == parameters.end()) {
    share.footprint.everything = true;
    share.all = "everything on this host";
    return share;
  }
  const auto directory = open_host_directory(path->second);
  if (!directory) return std::unexpected(directory.error());
  const dev_t device = device_of(directory->get());
  const auto mode = parameters.find("mode");
  const bool is_about_throughput = mode != parameters.end() && mode->second == "io_load";
  const auto shared = [&](const fs::path& place) {
    return shares_space(device_at(place), device) || (is_about_throughput && shares_disk(place, path->second));
  };
  for (const std::string& guarded : protect.paths) {
    if (shared(guarded)) share.protected_paths.push_back("path " + guarded);
  }
  for (const char* place : kEverybodys) {
    if (!shared(place)) continue;
    share.footprint.everything = true;
    share.all =
        fmt::format("everything on this host ({} is on that {})", place, is_about_throughput ? "disk" : "file system");
    return share;
  }
  std::vector<pid_t> users;
  for (const Process& process : processes) {
    if (uses(process, device)) users.push_back(process.pid);
  }
  share.users = {users.begin(), users.end()};
  share.footprint.members = population.of_processes(users);
  share.footprint.members.push_back({.name = "file system of " + path->second});
  return share;
}

}  // namespace chaos
