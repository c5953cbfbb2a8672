// Network namespaces: naming one, and running code inside one. Code runs in a thread made for it, so no thread of the
// daemon ever changes its own namespace. Needs CAP_SYS_ADMIN.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

/// A namespace held open. Keep it no longer than needed: an open fd keeps a deleted namespace alive.
class Netns {
 public:
  /// The calling process's own. `proc`: /proc.
  static Result<Netns> current();
  /// `name`: a name under /run/netns, an absolute path, or a pid. Errors: kNotFound, kInvalid (no network namespace).
  static Result<Netns> open(std::string_view name);
  /// The living namespace with this inode number, found by the processes in it and by /run/netns. Errors: kNotFound
  /// (it is gone), kInternal (/proc cannot be read). Walks /proc: some ms.
  static Result<Netns> find(std::uint64_t inode);

  /// Inode number in nsfs: its identity while it lives.
  [[nodiscard]] std::uint64_t inode() const { return inode_; }
  /// By what it was opened; may lead elsewhere by now.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// True if PID 1 lives in it.
  [[nodiscard]] bool is_initial() const;
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// Runs `job` inside, in a thread of its own, and waits for it. Error: kInternal (setns).
  [[nodiscard]] Status run(const std::function<void()>& job) const;

 private:
  Netns(UniqueFd fd, std::uint64_t inode, std::string path)
      : fd_(std::move(fd)), inode_(inode), path_(std::move(path)) {}
  static Result<Netns> from_path(const std::string& path);
  UniqueFd fd_;
  std::uint64_t inode_;
  std::string path_;
};

}  // namespace chaos
