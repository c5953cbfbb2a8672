// Caller: a process of the test's own that makes system calls when it is told to, and says what came of them: by their
// numbers, with nothing of the C library in between.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "support/temp_dir.h"

namespace chaos::test {

/// errno → how often; 0: it succeeded.
using Outcomes = std::map<int, int>;

class Caller {
 public:
  struct As {
    uid_t uid = 0;
    std::string comm{};
    std::string root{};  ///< it sees this directory as its root, in a mount namespace of its own
    std::pair<std::string, std::string> bind{};  ///< there, what is at the first is at the second as well
  };
  Caller() : Caller(As{}) {}
  explicit Caller(const As& as);
  ~Caller();
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  /// `count` calls, shared out evenly among `threads` (8 at most).
  [[nodiscard]] Outcomes make(const std::string& call, int count, int threads = 1) const;
  /// The same by a child that it forks for that.
  [[nodiscard]] Outcomes make_by_child(const std::string& call, int count) const;
  /// openat(2) of `name` relative to an open directory; 0 or an errno.
  [[nodiscard]] int open_at(const std::string& directory, const std::string& name) const;
  /// read(2), or write(2), of so many bytes of a file, a socket or a pipe ("regular", "socket", "pipe"); 0 or an errno.
  [[nodiscard]] int transfer(const std::string& call, const std::string& type, int bytes) const;
  /// Where its files are.
  [[nodiscard]] const std::filesystem::path& directory() const { return dir_.path(); }

  /// What it knows to call.
  static std::vector<std::string> calls();
  /// What the call gives if nothing is in its way.
  static int natural(const std::string& call);

 private:
  struct Order;
  [[nodiscard]] Outcomes order(const Order& order) const;
  [[nodiscard]] Outcomes receive() const;
  TempDir dir_;
  pid_t pid_ = -1;
  UniqueFd to_;
  UniqueFd from_;
};

}  // namespace chaos::test
