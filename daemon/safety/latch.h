// Latch: after an emergency stop nothing starts until an operator re-arms, over restarts and reboots. The state is
// one file in the state directory; the file exists while latched. Loop thread.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace chaos {

class Latch {
 public:
  /// `state_dir` must exist. An unreadable directory counts as latched: when in doubt, nothing starts.
  explicit Latch(std::filesystem::path state_dir);

  [[nodiscard]] bool engaged() const { return engaged_; }
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Engages in memory first, then writes and fsyncs the file. An error means: engaged, but lost on a restart.
  Status engage(std::string reason);
  /// Removes the file; stays engaged if that fails.
  Status release();

 private:
  std::filesystem::path file_;
  bool engaged_ = false;
  std::string reason_;
};

}  // namespace chaos
