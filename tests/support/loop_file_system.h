// A file system of the test's own: ext4 on a loop device, mounted on a directory; gone with the object. Needs root.
// Failures throw.
#pragma once

#include <cstdint>
#include <filesystem>

#include "support/disk.h"
#include "support/temp_dir.h"

namespace chaos::test {

class LoopFileSystem {
 public:
  explicit LoopFileSystem(unsigned mebibytes);
  ~LoopFileSystem();
  LoopFileSystem(const LoopFileSystem&) = delete;
  LoopFileSystem& operator=(const LoopFileSystem&) = delete;

  [[nodiscard]] std::filesystem::path root() const { return mount_point_.path(); }
  /// What df(1) says: in use, and left for those who are not root, in bytes.
  [[nodiscard]] std::uint64_t used() const;
  [[nodiscard]] std::uint64_t left() const;
  [[nodiscard]] double used_share() const;
  /// Bytes that the device has been told to write, by whomever.
  [[nodiscard]] std::uint64_t device_written() const { return disk_.traffic().written_bytes; }

 private:
  LoopDisk disk_;
  TempDir mount_point_;
};

}  // namespace chaos::test
