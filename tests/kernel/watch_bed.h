// What the tests of eBPF telemetry share: a daemon, two hosts on a veth pair, a cgroup whose sockets are watched.
#pragma once

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "loss_support.h"
#include "support/cgroup.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/tcp.h"
#include "support/udp.h"

namespace chaos::test {

/// A value of nstat(8) in a namespace, since that was made.
[[nodiscard]] inline std::uint64_t nstat(const Namespace& ns, const std::string& name) {
  std::istringstream lines(ns.command("nstat -asz " + name));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string found;
    std::uint64_t value = 0;
    if (fields >> found >> value && found == name) return value;
  }
  throw std::runtime_error("nstat has no " + name);
}

/// Who asks a daemon and reads the answer by lines; goes away with the object.
class Asker {
 public:
  Asker(const std::string& socket, const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket.copy(address.sun_path, sizeof address.sun_path - 1);
    // Of this version answers come as they are, and the connection ends with them.
    const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
      throw std::runtime_error("ask " + socket);
    }
  }
  /// The next line that is not empty, of the headers first; empty at the end.
  std::string read_line() {
    std::string line;
    char next = 0;
    while (::recv(fd_.get(), &next, 1, 0) == 1) {
      if (next == '\n' && !line.empty()) return line;
      if (next != '\n' && next != '\r') line += next;
    }
    return line;
  }
  /// The first line that begins so; empty at the end.
  std::string read_line_with(std::string_view beginning) {
    std::string line;
    do {
      line = read_line();
    } while (!line.empty() && !line.starts_with(beginning));
    return line;
  }

 private:
  UniqueFd fd_;
};

class WatchBed : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_.emplace("watch");
    watched_.emplace("watched");
    // So that the target lives in both namespaces.
    left_member_ = idle_process(*watched_, net_->left);
    right_member_ = idle_process(*watched_, net_->right);
  }

  /// What has been counted since the programs were attached, which stay for a while.
  [[nodiscard]] nlohmann::json look(const std::string& what, const std::string& target = "") const {
    std::string path = "/api/monitoring/" + what + "?lease=30s";
    if (!target.empty()) path += "&target=" + target;
    const Response answer = daemon_.get(path);
    if (answer.status != 200) throw std::runtime_error(path + ": " + answer.text);
    return answer.body;
  }
  [[nodiscard]] std::string target() const { return "cgroup=" + watched_->path(); }

  [[nodiscard]] bool has_feature(const std::string& name) const {
    const nlohmann::json features = daemon_.get("/api/chaos/features").body.at("features");
    for (const nlohmann::json& feature : features) {
      if (feature.at("name") == name) return feature.at("available");
    }
    return false;
  }

  std::optional<VethPair> net_;
  std::optional<TestCgroup> watched_;
  std::unique_ptr<Child> left_member_;
  std::unique_ptr<Child> right_member_;
  Daemon daemon_;
};

/// Of one reason and origin.
[[nodiscard]] inline std::uint64_t drops_of(const nlohmann::json& report, const std::string& reason,
                                            const std::string& origin) {
  for (const nlohmann::json& row : report.at("reasons")) {
    if (row.at("reason") == reason && row.at("origin") == origin) return row.at("count");
  }
  return 0;
}

}  // namespace chaos::test
