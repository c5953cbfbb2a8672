// A redis-server of the test's own, on a Unix socket alone; gone with the object. Failures throw.
#pragma once

#include <sys/types.h>

#include <stdexcept>
#include <string>

#include "support/child.h"
#include "support/net.h"
#include "support/shell.h"
#include "support/temp_dir.h"

namespace chaos::test {

class Redis {
 public:
  Redis()
      : server_("/usr/bin/redis-server",
                {"redis-server", "--port", "0", "--unixsocket", socket(), "--save", "", "--appendonly", "no",
                 "--enable-debug-command", "yes", "--dir", dir_.path().string()}) {
    if (!eventually([&] { return answers(); })) throw std::runtime_error("redis-server does not answer");
  }
  [[nodiscard]] pid_t pid() const { return server_.pid(); }
  [[nodiscard]] bool running() const { return server_.running(); }
  [[nodiscard]] bool answers() const { return tell("ping | grep -qx PONG"); }
  /// Keys with 1000 bytes each.
  void fill(int keys) const {
    if (!tell("debug populate " + std::to_string(keys) + " key 1000")) throw std::runtime_error("redis takes no data");
  }
  /// Writes one key anew and reads it back.
  [[nodiscard]] bool works() const { return tell("set at work") && tell("get at | grep -qx work"); }

 private:
  [[nodiscard]] std::string socket() const { return (dir_.path() / "socket").string(); }
  [[nodiscard]] bool tell(const std::string& command) const {
    return run("redis-cli -s " + socket() + " " + command).has_value();
  }
  TempDir dir_;
  Child server_;
};

}  // namespace chaos::test
