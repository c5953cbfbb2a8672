// A file system of the test's own: ext4 on a loop device on a file, mounted on a directory; gone with the object. Needs
// root. Failures throw.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "support/temp_dir.h"

namespace chaos::test {

class LoopDisk {
 public:
  explicit LoopDisk(unsigned mebibytes);
  ~LoopDisk();
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  [[nodiscard]] std::filesystem::path root() const { return dir_.path() / "disk"; }
  /// What df(1) says: in use, and left for those who are not root, in bytes.
  [[nodiscard]] std::uint64_t used() const;
  [[nodiscard]] std::uint64_t left() const;
  [[nodiscard]] double used_share() const;
  /// Bytes that the device has been told to write, by whomever.
  [[nodiscard]] std::uint64_t device_written() const;

 private:
  TempDir dir_;
  std::string device_;
};

}  // namespace chaos::test
