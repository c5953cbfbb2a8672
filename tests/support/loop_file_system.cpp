#include "support/loop_file_system.h"

#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <stdexcept>

#include "support/net.h"
#include "support/shell.h"

namespace chaos::test {
namespace {

struct statvfs space_of(const std::filesystem::path& path) {
  struct statvfs space {};
  if (::statvfs(path.c_str(), &space) != 0) throw std::runtime_error("statvfs " + path.string());
  return space;
}

}  // namespace

LoopFileSystem::LoopFileSystem(unsigned mebibytes) : disk_(std::uint64_t{mebibytes} << 20) {
  const Status made = run("mkfs.ext4 -q -F -m 1 -E lazy_itable_init=0,lazy_journal_init=0 " + disk_.device());
  if (!made) throw std::runtime_error(made.error().message);
  if (::mount(disk_.device().c_str(), root().c_str(), "ext4", 0, nullptr) != 0)
    throw std::runtime_error("cannot mount " + disk_.device());
}

LoopFileSystem::~LoopFileSystem() {
  (void)eventually([&] { return ::umount(root().c_str()) == 0 || errno == EINVAL; });
  (void)::umount2(root().c_str(), MNT_DETACH);
}

std::uint64_t LoopFileSystem::used() const {
  const auto space = space_of(root());
  return (space.f_blocks - space.f_bfree) * space.f_frsize;
}

std::uint64_t LoopFileSystem::left() const {
  const auto space = space_of(root());
  return space.f_bavail * space.f_frsize;
}

double LoopFileSystem::used_share() const {
  const auto space = space_of(root());
  const auto in_use = static_cast<double>(space.f_blocks - space.f_bfree);
  return in_use / (in_use + static_cast<double>(space.f_bavail));
}

}  // namespace chaos::test
