// A chaosd of the test's own: own directories, own instance, driven over its socket as a user would. Ends with the
// object, and takes everything with it. Needs root.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "support/temp_dir.h"

namespace chaos::test {

struct Response {
  long status = 0;  ///< 0: no answer
  nlohmann::json body;
  std::string text;
};

class Daemon {
 public:
  struct Setup {
    /// A test's namespaces are a large part of a small machine: the limits are not what most tests are about.
    std::string config = "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n";
    std::vector<std::string> wrapper;  ///< command that chaosd is started by (setpriv, prlimit, gdb)
    std::vector<std::string> arguments;
    std::optional<std::string> instance;
    /// Called before the first start with the directory that holds "run" and "state", neither made yet.
    std::function<void(const std::filesystem::path& directory)> prepare;
  };
  Daemon() : Daemon(Setup{}) {}
  explicit Daemon(Setup setup);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Starts it (again) and waits until it answers. Throws with its log if it does not.
  void start();
  void signal(int signo) const;
  /// Waits for its end; the wait status. Throws after 20 s.
  int wait();
  /// SIGTERM and wait().
  int stop();
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return pid_ > 0; }

  [[nodiscard]] Response get(const std::string& path) const;
  [[nodiscard]] Response post(const std::string& path, const nlohmann::json& body = nlohmann::json::object()) const;
  /// POSTs a scenario and expects it to run, in guests again while the lease is out; its JSON. Throws with the problem
  /// document otherwise.
  nlohmann::json run_scenario(const nlohmann::json& request) const;
  nlohmann::json stop_scenario(const std::string& id) const;
  [[nodiscard]] nlohmann::json scenario(const std::string& id) const;

  [[nodiscard]] std::string socket() const { return (dir_.path() / "run" / "chaosd.sock").string(); }
  [[nodiscard]] std::string view_socket() const { return (dir_.path() / "run" / "chaosd-view.sock").string(); }
  [[nodiscard]] std::filesystem::path runtime_dir() const { return dir_.path() / "run"; }
  [[nodiscard]] std::filesystem::path state_dir() const { return dir_.path() / "state"; }
  [[nodiscard]] std::filesystem::path config_file() const { return dir_.path() / "chaosd.yaml"; }
  [[nodiscard]] const std::string& instance() const { return instance_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return dir_.path(); }
  [[nodiscard]] std::string log() const;
  void write_config(const std::string& text) const;

 private:
  [[nodiscard]] std::vector<std::string> command_line() const;

  TempDir dir_;
  Setup setup_;
  std::string instance_;
  pid_t pid_ = -1;
};

/// One HTTP request over a Unix socket.
[[nodiscard]] Response http(const std::string& socket, const std::string& method, const std::string& path,
                            const std::optional<std::string>& body = std::nullopt,
                            const std::vector<std::string>& headers = {});

}  // namespace chaos::test
