// Cgroups of the v2 tree for tests, made by the test and gone with the object. Needs root. Failures throw.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "support/child.h"
#include "support/net.h"

namespace chaos::test {

/// A cgroup of its own below the root of the v2 tree, or below another of these.
class TestCgroup {
 public:
  explicit TestCgroup(std::string_view label);
  TestCgroup(const TestCgroup& parent, std::string_view name);
  ~TestCgroup();
  TestCgroup(TestCgroup&& other) noexcept;
  TestCgroup& operator=(TestCgroup&&) = delete;

  /// From the root of the tree, as targets name it.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::filesystem::path directory() const;
  /// Runs `job` with this whole process inside: sockets made there belong to the cgroup for good. One at a time, the
  /// rest of the process's threads are carried along meanwhile.
  void run(const std::function<void()>& job) const;
  void add(pid_t pid) const;
  /// Removes it, with what is in it killed, and makes it anew: another cgroup by the same name.
  void renew();
  void remove();

 private:
  void make();
  std::string path_;
};

/// A process that does nothing, inside a cgroup and a namespace, to the end of the object.
[[nodiscard]] std::unique_ptr<Child> idle_process(const TestCgroup& cgroup, const Namespace& ns);

/// `text` for a shell in the namespace, run from inside the cgroup; its output and exit status.
[[nodiscard]] Outcome shell_in(const TestCgroup& cgroup, const Namespace& ns, const std::string& text);

/// Where the v2 tree is mounted.
[[nodiscard]] const std::filesystem::path& cgroup_mount();

}  // namespace chaos::test
