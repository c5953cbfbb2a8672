#include "kernel/block_device.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#include "kernel/host_path.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr const char* kField = "parameters.path";

std::string numbers_of(dev_t device) { return fmt::format("{}:{}", major(device), minor(device)); }

struct Mount {
  std::string type;
  std::string source;
};

Result<struct stat> status_of(const std::string& path) {
  const auto opened = open_host_path(path);
  if (!opened) return std::unexpected(opened.error());
  struct stat status {};
  if (::fstat(opened->get(), &status) != 0) return fail_errno("look at " + path);
  return status;
}

/// Of a line of mountinfo (proc_pid_mountinfo(5)) with this device.
std::optional<Mount> mount_of(const std::string& numbers) {
  std::ifstream file("/proc/1/mountinfo");
  if (!file) file.open("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string device;
    if (!(words >> id >> parent >> device) || device != numbers) continue;
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream rest(line.substr(separator + 3));
    Mount mount;
    if (rest >> mount.type >> mount.source) return mount;
  }
  return std::nullopt;
}

/// The device that file systems with numbers of their own (btrfs) name as their source.
Result<dev_t> device_behind(const std::string& path, dev_t numbers) {
  const auto mount = mount_of(numbers_of(numbers));
  if (mount && mount->type != "overlay" && mount->source.starts_with('/')) {
    const auto status = status_of(mount->source);
    if (status && S_ISBLK(status->st_mode)) return status->st_rdev;
  }
  return fail(
      Errc::kUnsupported,
      fmt::format("{} is on a file system without a device of its own ({})", path, mount ? mount->type : "unknown"),
      kField, "a path on a disk", "name a path, or a device file, of the disk that is meant");
}

}  // namespace

Result<BlockDevice> disk_of(const std::string& path) {
  const auto status = status_of(path);
  if (!status) return std::unexpected(status.error());
  Result<dev_t> device = S_ISBLK(status->st_mode) ? status->st_rdev : status->st_dev;
  if (major(*device) == 0) device = device_behind(path, *device);
  if (!device) return std::unexpected(device.error());
  std::error_code error;
  fs::path directory = fs::canonical("/sys/dev/block/" + numbers_of(*device), error);
  if (!error && fs::exists(directory / "partition", error)) directory = directory.parent_path();
  BlockDevice disk{.numbers = {}, .name = directory.filename().string()};
  std::ifstream(directory / "dev") >> disk.numbers;
  if (!disk.numbers.empty()) return disk;
  return fail(Errc::kUnsupported, fmt::format("the device {} of {} is not known here", numbers_of(*device), path),
              kField, "a path on a disk", "see `lsblk`");
}

}  // namespace chaos
