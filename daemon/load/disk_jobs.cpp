// Fills a file system, or writes to it at a rate: to a file without a name (O_TMPFILE), which goes with the process.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <random>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "kernel/host_path.h"
#include "load/job.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr const char* kPath = "parameters.path";

std::unexpected<Error> cannot(const std::string& path, const char* what, int err) {
  return fail(
      err == EROFS || err == ENOSPC ? Errc::kRefused : Errc::kUnsupported,
      fmt::format("{} in {}: {}", what, path, errno_name(err)), kPath,
      "a directory on a file system that holds files without a name (O_TMPFILE) and sets room aside (fallocate)",
      "ext4, xfs and btrfs can; name a directory on one of them");
}

/// Nobody can give it a name (O_EXCL), so that nothing of it can stay.
Result<UniqueFd> nameless_file(const std::string& path, int extra_flags = 0) {
  const auto directory = open_host_directory(path);
  if (!directory) return std::unexpected(directory.error());
  UniqueFd file(::openat(directory->get(), ".", O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC | extra_flags, 0600));
  if (!file.valid()) return cannot(path, "make a file without a name", errno);
  return file;
}

/// As long as it is, on the disk: 0 or errno.
int set_aside(int fd, std::uint64_t from, std::uint64_t bytes) {
  while (::fallocate(fd, 0, static_cast<off_t>(from), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

class FillJob final : public LoadJob {
 public:
  /// `level`: the share that shall be in use; or what shall be left.
  FillJob(UniqueFd file, std::optional<double> level, double leave, double rate)
      : file_(std::move(file)), level_(level), leave_(leave), rate_(rate) {}

  Status try_it(const std::string& path) {
    const auto space = space_of(file_.get());
    if (!space) return std::unexpected(space.error());
    if (const int err = set_aside(file_.get(), 0, space->unit); err != 0) return cannot(path, "set room aside", err);
    held_ = space->unit;
    return {};
  }

  void begin() override { begun_ = system_clock().monotonic(); }

  nanoseconds step() override {
    const auto space = space_of(file_.get());
    if (!space) {
      remark_ = space.error().message;
      return 1s;
    }
    const double whole = static_cast<double>(space->whole());
    const double left = level_ ? (1 - *level_) * whole : leave_;
    double missing = static_cast<double>(space->left) - left;
    if (missing < static_cast<double>(space->unit) || refused_ > missing) {
      // What is missing by a hair is not asked for again and again; what somebody has freed since is.
      if (missing > 2 * refused_) refused_ = 0;
      return 100ms;
    }
    missing = std::min(missing, static_cast<double>(kMost));
    if (rate_ > 0) {
      const double due = rate_ * std::chrono::duration<double>(system_clock().monotonic() - begun_).count();
      missing = std::min(missing, due - static_cast<double>(taken_));
      if (missing < static_cast<double>(space->unit)) return 20ms;
    }
    return take(static_cast<std::uint64_t>(missing) / space->unit * space->unit, space->unit);
  }

  std::map<std::string, std::string> figures() override {
    const auto space = space_of(file_.get());
    if (!space || space->whole() == 0) return {};
    return {{"level", format_percent(static_cast<double>(space->used) / static_cast<double>(space->whole()))},
            {"held", format_size(static_cast<double>(held_))},
            {"left", format_size(static_cast<double>(space->left))}};
  }
  std::string remark() const override { return remark_; }

 private:
  /// At a time, so that it can be ended in between.
  static constexpr std::uint64_t kMost = 256UL << 20;

  nanoseconds take(std::uint64_t bytes, std::uint64_t unit) {
    for (int err = 0; bytes >= unit; bytes = bytes / 2 / unit * unit) {
      err = set_aside(file_.get(), held_, bytes);
      if (err == 0) {
        held_ += bytes;
        taken_ += bytes;
        return 0ns;
      }
      // The file system needs some of what is left for itself.
      if (err == ENOSPC) continue;
      remark_ = "set room aside: " + errno_name(err);
      return 1s;
    }
    refused_ = static_cast<double>(unit);
    return 100ms;
  }

  UniqueFd file_;
  const std::optional<double> level_;
  const double leave_;
  const double rate_;
  std::uint64_t held_ = 0;
  std::uint64_t taken_ = 0;
  double refused_ = 0;  ///< bytes that could not be had
  nanoseconds begun_{0};
  std::string remark_;
};

/// What a block device has been written to, by all: /sys/dev/block/M:m/stat, sectors of 512 bytes
/// (Documentation/block/stat.rst).
std::optional<double> written_to(dev_t device) {
  std::ifstream stat(fmt::format("/sys/dev/block/{}:{}/stat", major(device), minor(device)));
  std::array<double, 7> fields{};
  for (double& field : fields) {
    if (!(stat >> field)) return std::nullopt;
  }
  constexpr double kSector = 512;
  return fields[6] * kSector;
}

class WriteJob final : public LoadJob {
 public:
  using Buffer = std::unique_ptr<char, decltype(&std::free)>;
  WriteJob(UniqueFd file, std::uint64_t size, std::size_t block, double rate, Buffer buffer)
      : file_(std::move(file)),
        device_(device_of(file_.get())),
        size_(size),
        block_(block),
        rate_(rate),
        buffer_(std::move(buffer)) {}

  void begin() override {
    begun_ = paced_since_ = system_clock().monotonic();
    device_before_ = written_to(device_);
  }

  nanoseconds step() override {
    const nanoseconds now = system_clock().monotonic();
    const nanoseconds due = paced_since_ + time_for(paced_ + block_);
    if (due > now) return due - now;
    // What a slow disk did not take is not made good by a burst.
    if (now - due > kPatience) {
      paced_since_ = now;
      paced_ = 0;
      held_up_ = true;
    }
    std::memcpy(buffer_.get(), &written_, sizeof written_);
    const ssize_t size = ::pwrite(file_.get(), buffer_.get(), block_, static_cast<off_t>(at_));
    if (size != static_cast<ssize_t>(block_)) {
      remark_ = size < 0 ? "write: " + errno_name(errno) : "a write was cut short";
      return 100ms;
    }
    at_ = (at_ + block_) % size_;
    written_ += block_;
    paced_ += block_;
    return 0ns;
  }

  std::map<std::string, std::string> figures() override {
    const double seconds = std::chrono::duration<double>(system_clock().monotonic() - begun_).count();
    if (seconds <= 0) return {};
    std::map<std::string, std::string> all{{"rate", format_size(static_cast<double>(written_) / seconds) + "/s"}};
    const auto now = written_to(device_);
    if (now && device_before_) all["device_written"] = format_size((*now - *device_before_) / seconds) + "/s";
    if (held_up_) all["held_up"] = "yes";
    return all;
  }
  std::string remark() const override { return remark_; }

 private:
  static constexpr nanoseconds kPatience = 250ms;
  [[nodiscard]] nanoseconds time_for(std::uint64_t bytes) const {
    return nanoseconds(static_cast<std::int64_t>(1e9 * static_cast<double>(bytes) / rate_));
  }

  UniqueFd file_;
  const dev_t device_;
  const std::uint64_t size_;
  const std::size_t block_;
  const double rate_;
  Buffer buffer_;
  std::uint64_t at_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t paced_ = 0;  ///< since then
  nanoseconds begun_{0};
  nanoseconds paced_since_{0};
  std::optional<double> device_before_;
  bool held_up_ = false;
  std::string remark_;
};

}  // namespace

Result<std::unique_ptr<LoadJob>> make_fill_job(const JobArguments& arguments) {
  const auto level = number(arguments, "level", -1);
  const auto leave = number(arguments, "leave", 0);
  const auto rate = number(arguments, "rate", 0);
  for (const auto* value : {&level, &leave, &rate}) {
    if (!*value) return std::unexpected(value->error());
  }
  const std::string path = argument(arguments, "path");
  auto file = nameless_file(path);
  if (!file) return std::unexpected(file.error());
  const auto share = *level >= 0 ? std::optional(*level) : std::nullopt;
  auto job = std::make_unique<FillJob>(std::move(*file), share, *leave, *rate);
  if (Status status = job->try_it(path); !status) return std::unexpected(status.error());
  return job;
}

Result<std::unique_ptr<LoadJob>> make_write_job(const JobArguments& arguments) {
  constexpr std::uint64_t kFile = 64UL << 20;
  constexpr std::size_t kUnit = 4096;
  constexpr double kWritesPerSecond = 50;
  constexpr std::size_t kLargest = 1UL << 20;
  const auto rate = number(arguments, "rate", 0);
  if (!rate) return std::unexpected(rate.error());
  const std::string path = argument(arguments, "path");
  // Past the page cache where the file system can; else each write waits for the disk.
  auto file = nameless_file(path, O_DIRECT);
  if (!file) file = nameless_file(path, O_DSYNC);
  if (!file) return std::unexpected(file.error());
  const auto space = space_of(file->get());
  if (!space) return std::unexpected(space.error());
  if (space->left < 4 * kFile) {
    return fail(Errc::kRefused,
                fmt::format("only {} are left in {}", format_size(static_cast<double>(space->left)), path), kPath,
                "room for four times the file that is written to, of 64 MiB", "name another directory");
  }
  if (const int err = set_aside(file->get(), 0, kFile); err != 0) return cannot(path, "set room aside", err);
  std::size_t block = kUnit;
  while (block < kLargest && static_cast<double>(block) * kWritesPerSecond < *rate) block *= 2;
  WriteJob::Buffer buffer(static_cast<char*>(std::aligned_alloc(kUnit, block)), std::free);
  if (!buffer) return fail_errno("allocate a buffer");
  // Contents that no device makes less of.
  std::minstd_rand random(1);
  std::generate_n(buffer.get(), block, [&random] { return static_cast<char>(random() >> 8); });
  return std::make_unique<WriteJob>(std::move(*file), kFile, block, *rate, std::move(buffer));
}

}  // namespace chaos
