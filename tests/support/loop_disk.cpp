#include "support/loop_disk.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

#include "support/net.h"
#include "support/shell.h"

namespace chaos::test {
namespace {

void must(const std::string& command) {
  if (const Status status = run(command); !status) throw std::runtime_error(status.error().message);
}

struct statvfs space_of(const std::filesystem::path& path) {
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) throw std::runtime_error("statvfs " + path.string());
  return space;
}

}  // namespace

LoopDisk::LoopDisk(unsigned mebibytes) {
  const std::string image = (dir_.path() / "image").string();
  must("truncate -s " + std::to_string(mebibytes) + "M " + image);
  must("mkfs.ext4 -q -F -m 1 -E lazy_itable_init=0,lazy_journal_init=0 " + image);
  // Beside others' tests two may be given the same free device: one of them tries again.
  const bool attached = eventually(
      [&] { return run("losetup --find --show " + image + " > " + (dir_.path() / "device").string()).has_value(); });
  if (!attached) throw std::runtime_error("no loop device for " + image);
  std::ifstream(dir_.path() / "device") >> device_;
  std::filesystem::create_directory(root());
  try {
    must("mount -t ext4 " + device_ + " " + root().string());
  } catch (...) {
    (void)run("losetup -d " + device_);
    throw;
  }
}

LoopDisk::~LoopDisk() {
  (void)eventually([&] { return ::umount(root().c_str()) == 0 || errno == EINVAL; });
  (void)::umount2(root().c_str(), MNT_DETACH);
  (void)run("losetup -d " + device_);
}

std::uint64_t LoopDisk::used() const {
  const auto space = space_of(root());
  return (space.f_blocks - space.f_bfree) * space.f_frsize;
}

std::uint64_t LoopDisk::left() const {
  const auto space = space_of(root());
  return space.f_bavail * space.f_frsize;
}

double LoopDisk::used_share() const {
  const auto space = space_of(root());
  const auto in_use = static_cast<double>(space.f_blocks - space.f_bfree);
  return in_use / (in_use + static_cast<double>(space.f_bavail));
}

std::uint64_t LoopDisk::device_written() const {
  std::ifstream stat("/sys/class/block/" + device_.substr(device_.rfind('/') + 1) + "/stat");
  std::uint64_t field = 0;
  constexpr int kSectorsWritten = 7;
  for (int i = 0; i < kSectorsWritten; ++i) stat >> field;
  if (!stat) throw std::runtime_error("no statistics of " + device_);
  constexpr std::uint64_t kSector = 512;
  return field * kSector;
}

}  // namespace chaos::test
