// A process that somebody starts again whenever it has ended, as systemd does with services.
#pragma once

#include <sys/types.h>

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/child.h"
#include "support/net.h"
#include "support/temp_dir.h"

namespace chaos::test {

/// A shell that starts a process again whenever it has ended: its number goes to `pid_file`, all of them to `log`.
class Supervised {
 public:
  Supervised() : shell_("/bin/sh", {"sh", "-c", script()}) {
    if (!eventually([&] { return !pids().empty(); })) throw std::runtime_error("nothing is supervised");
  }
  [[nodiscard]] pid_t supervisor() const { return shell_.pid(); }
  [[nodiscard]] std::string pid_file() const { return (dir_.path() / "pid").string(); }
  /// Oldest first.
  [[nodiscard]] std::vector<pid_t> pids() const {
    std::ifstream log(dir_.path() / "log");
    std::vector<pid_t> all;
    for (pid_t pid = 0; log >> pid;) all.push_back(pid);
    return all;
  }

 private:
  [[nodiscard]] std::string script() const {
    const std::string dir = dir_.path().string();
    // One that was forked a moment before the shell is killed reads the end of the shell's input.
    return "exec 3<&0; while :; do setpriv --pdeathsig KILL cat <&3 >/dev/null & echo $! > " + dir +
           "/pid; echo $! >> " + dir + "/log; wait $!; done";
  }
  TempDir dir_;
  Child shell_;
};

}  // namespace chaos::test
