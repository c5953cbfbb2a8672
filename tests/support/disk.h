// A disk of a test's own, and processes that use it as hard as they can. Needs root. Failures throw.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "support/temp_dir.h"

namespace chaos::test {

/// A loop device on a file that takes no room until it is written to; gone with the object.
class LoopDisk {
 public:
  explicit LoopDisk(std::uint64_t bytes);
  ~LoopDisk();
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  [[nodiscard]] const std::string& device() const { return device_; }  ///< "/dev/loop3"
  [[nodiscard]] std::string numbers() const;                           ///< "7:3"
  /// Since it is there, by /sys/block (Documentation/block/stat.rst).
  struct Traffic {
    std::uint64_t read_bytes = 0;
    std::uint64_t written_bytes = 0;
  };
  [[nodiscard]] Traffic traffic() const;

 private:
  TempDir dir_;
  UniqueFd control_;
  UniqueFd disk_;
  std::string device_;
};

enum class DiskUse {
  kRead,        ///< O_DIRECT, 64 KiB at a time, over and over
  kWrite,       ///< likewise
  kReadCached,  ///< through the page cache
};

/// A process that does so from when it is told.
class DiskUser {
 public:
  DiskUser(const LoopDisk& disk, DiskUse use);
  ~DiskUser();
  DiskUser(const DiskUser&) = delete;
  DiskUser& operator=(const DiskUser&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  void begin() const;

 private:
  UniqueFd order_;
  pid_t pid_ = -1;
};

}  // namespace chaos::test
