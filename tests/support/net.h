// Networks for tests: namespaces that the test made, joined by veth pairs, gone with the objects. Nothing outside them
// is touched. Needs root. Failures throw std::runtime_error: a test that cannot set up its world must not pass.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

/// A network namespace of its own, named under /run/netns so that ip(8) and `--target netns=` see it; lo is up.
class Namespace {
 public:
  explicit Namespace(std::string_view label);
  ~Namespace();
  Namespace(Namespace&& other) noexcept;
  Namespace& operator=(Namespace&&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Runs `job` inside, on a thread of its own; rethrows what it throws.
  void run(const std::function<void()>& job) const;
  /// Runs a command inside (`ip -n NAME` for ip). Throws unless it exits 0; returns its output.
  std::string command(const std::string& text) const;

 private:
  std::string name_;
};

/// Two namespaces joined by a veth pair: `left` 10.77.0.1 and fd77::1 on "l0", `right` 10.77.0.2 and fd77::2 on "r0".
struct VethPair {
  explicit VethPair(std::string_view label);
  Namespace left;
  Namespace right;
  /// Turns segmentation and receive offloads off on both ends.
  void disable_offloads() const;
};

/// Runs a shell command; returns stdout+stderr. Throws with the output unless the exit status is 0.
std::string shell(const std::string& command);
/// As shell, without the throw: output and exit status.
struct Outcome {
  int status = 0;
  std::string output;
};
Outcome try_shell(const std::string& command);

/// Calls `condition` until it holds; false after `limit` (times time_scale()). For waiting on the outside world; polls
/// every few ms.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(10));

}  // namespace chaos::test
