// A cgroup of the test's own that a controller limits: of the v2 tree where the controller is there, else one more in
// its v1 hierarchy. Needs root. Failures throw.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

#include "support/cgroup.h"

namespace chaos::test {

class LimitedCgroup {
 public:
  explicit LimitedCgroup(const std::string& controller);
  ~LimitedCgroup();
  LimitedCgroup(const LimitedCgroup&) = delete;
  LimitedCgroup& operator=(const LimitedCgroup&) = delete;

  /// As targets name it.
  [[nodiscard]] const TestCgroup& cgroup() const { return cgroup_; }
  [[nodiscard]] bool v2() const { return v1_.empty(); }
  /// Where its limits are.
  [[nodiscard]] std::filesystem::path directory() const { return v2() ? cgroup_.directory() : v1_; }
  void add(pid_t pid) const;
  [[nodiscard]] std::string value(const std::string& file) const;
  void set(const std::string& file, const std::string& value) const;

 private:
  TestCgroup cgroup_;
  std::filesystem::path v1_;  ///< empty: not needed
};

}  // namespace chaos::test
