// Options of the chaosd command line.
#pragma once

#include <filesystem>
#include <string>

namespace chaos {

struct Options {
  std::filesystem::path config = "/etc/chaosd/chaosd.yaml";
  bool config_given = false;
  std::filesystem::path runtime_dir = "/run/chaosd";
  std::filesystem::path state_dir = "/var/lib/chaosd";
  std::filesystem::path socket;  ///< empty: runtime_dir/chaosd.sock; the view socket lies beside it
  std::string log_level;         ///< empty: as configured
  std::string instance = "default";

  [[nodiscard]] std::filesystem::path operate_socket() const {
    return socket.empty() ? runtime_dir / "chaosd.sock" : socket;
  }
  [[nodiscard]] std::filesystem::path view_socket() const {
    return operate_socket().parent_path() / "chaosd-view.sock";
  }
  [[nodiscard]] std::filesystem::path pid_file() const { return runtime_dir / "chaosd.pid"; }
  [[nodiscard]] std::filesystem::path stop_file() const { return runtime_dir / "STOP"; }
};

}  // namespace chaos
