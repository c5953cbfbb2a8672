// ProbeCommand: one run of a program, without a shell, in a process that ends with all that it started when chaosd dies
// (probe_process.h), or with this object. The probe thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

class ProbeCommand {
 public:
  /// In a process group of its own, with /dev/null as input; its output is caught (64 KiB of it) or goes to /dev/null;
  /// nothing else is open.
  static Result<std::unique_ptr<ProbeCommand>> start(const std::vector<std::string>& argv, bool catch_output);
  /// Kills it, with its group, if it still runs.
  ~ProbeCommand();
  ProbeCommand(const ProbeCommand&) = delete;
  ProbeCommand& operator=(const ProbeCommand&) = delete;

  /// Readable when it has ended (pidfd).
  [[nodiscard]] int end_fd() const { return pidfd_.get(); }
  /// Readable when it has written something, which poll() takes, or it would wait for room; -1 when it is through.
  [[nodiscard]] int output_fd() const { return output_.get(); }
  /// Takes what it has written. Empty while it runs; then "" if it ended with status 0, else how it ended.
  [[nodiscard]] std::optional<std::string> poll();
  [[nodiscard]] const std::string& output() const { return text_; }

 private:
  ProbeCommand() = default;
  void take_output();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd output_;
  std::string text_;
};

}  // namespace chaos
