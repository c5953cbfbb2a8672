// An sshd(8) of the test's own, in a network namespace.
#pragma once

#include <optional>
#include <string>

#include "support/child.h"
#include "support/net.h"
#include "support/temp_dir.h"

namespace chaos::test {

/// For one key, on 127.0.0.1. Throws if it does not answer.
class Sshd {
 public:
  explicit Sshd(const Namespace& ns);
  ~Sshd();
  Sshd(const Sshd&) = delete;
  Sshd& operator=(const Sshd&) = delete;
  /// The command line that runs `command` (without single quotes) there, in a terminal.
  [[nodiscard]] std::string client(const std::string& command) const;

 private:
  std::string ns_;
  TempDir dir_;
  bool made_ = false;
  std::optional<Child> server_;
};

}  // namespace chaos::test
