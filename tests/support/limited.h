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
  /// `v1_name`: what the controller is called in v1; else the same.
  explicit LimitedCgroup(const std::string& controller, const std::string& v1_name = {});
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

/// A cgroup of v1's freezer, which the v2 tree knows nothing of.
class V1Freezer {
 public:
  /// Whether this host has that hierarchy.
  [[nodiscard]] static bool available();
  explicit V1Freezer(const std::string& label);
  ~V1Freezer();
  V1Freezer(const V1Freezer&) = delete;
  V1Freezer& operator=(const V1Freezer&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }  ///< from the root of the hierarchy
  [[nodiscard]] std::filesystem::path directory() const;
  /// Out of its cgroup of the v2 tree, and into this.
  void add(pid_t pid) const;
  [[nodiscard]] std::string state() const;  ///< THAWED, FREEZING or FROZEN

 private:
  std::string path_;
};

}  // namespace chaos::test
