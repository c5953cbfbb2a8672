#include "support/disk.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace chaos::test {
namespace {

constexpr std::size_t kChunk = 65536;

/// The child of a process with threads: nothing but system calls.
[[noreturn]] void use_disk(const char* device, DiskUse use, int order) {
  alignas(4096) static char buffer[kChunk];
  const int mode = use == DiskUse::kWrite ? O_WRONLY : O_RDONLY;
  const int fd = ::open(device, mode | (use == DiskUse::kReadCached ? 0 : O_DIRECT) | O_CLOEXEC);
  char go = 0;
  if (fd < 0 || ::read(order, &go, 1) != 1) ::_exit(1);
  for (off_t at = 0;;) {
    const ssize_t done = use == DiskUse::kWrite ? ::pwrite(fd, buffer, kChunk, at) : ::pread(fd, buffer, kChunk, at);
    if (done < 0) ::_exit(1);
    at = done == 0 || done < static_cast<ssize_t>(kChunk) ? 0 : at + done;
    // The end of a device is ENOSPC for a writer.
    if (use == DiskUse::kWrite && at >= static_cast<off_t>(32 * 1024 * 1024)) at = 0;
  }
}

}  // namespace

LoopDisk::LoopDisk(std::uint64_t bytes) {
  const std::string file = (dir_.path() / "disk").string();
  const UniqueFd backing(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  control_.reset(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!backing.valid() || ::ftruncate(backing.get(), static_cast<off_t>(bytes)) != 0 || !control_.valid())
    throw std::runtime_error("no loop devices here");
  // Somebody else may take the same free one.
  for (int attempt = 0; attempt < 20; ++attempt) {
    const int number = ::ioctl(control_.get(), LOOP_CTL_GET_FREE);
    device_ = "/dev/loop" + std::to_string(number);
    disk_.reset(::open(device_.c_str(), O_RDWR | O_CLOEXEC));
    loop_config config{};
    config.fd = static_cast<__u32>(backing.get());
    if (number >= 0 && disk_.valid() && ::ioctl(disk_.get(), LOOP_CONFIGURE, &config) == 0) return;
  }
  throw std::runtime_error("no loop device: " + std::string(std::strerror(errno)));
}

LoopDisk::~LoopDisk() {
  if (disk_.valid()) ::ioctl(disk_.get(), LOOP_CLR_FD, 0);
}

std::string LoopDisk::numbers() const {
  struct stat status {};
  if (::fstat(disk_.get(), &status) != 0) throw std::runtime_error("no " + device_);
  return std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
}

LoopDisk::Traffic LoopDisk::traffic() const {
  constexpr std::uint64_t kSector = 512;
  std::ifstream file("/sys/dev/block/" + numbers() + "/stat");
  std::array<std::uint64_t, 7> fields{};
  for (std::uint64_t& field : fields) file >> field;
  return {fields[2] * kSector, fields[6] * kSector};
}

DiskUser::DiskUser(const LoopDisk& disk, DiskUse use) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const UniqueFd order(pipe[0]);
  order_.reset(pipe[1]);
  const std::string device = disk.device();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(pipe[1]);
    use_disk(device.c_str(), use, pipe[0]);
  }
  if (pid_ < 0) throw std::runtime_error("no process for the disk");
}

DiskUser::~DiskUser() {
  order_.reset();
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void DiskUser::begin() const {
  const char go = 'g';
  if (::write(order_.get(), &go, 1) != 1) throw std::runtime_error("the disk's user is deaf");
}

}  // namespace chaos::test
