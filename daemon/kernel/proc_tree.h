// Reading a /proc tree: processes, their names, sockets and TCP rows. Every function takes the root, so that tests
// can give a fixture. Nothing is kept open. Any thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace chaos::proc {

/// Processes at this moment, in ascending order. Error: kInternal if the directory cannot be read.
[[nodiscard]] Result<std::vector<pid_t>> list_processes(const std::filesystem::path& root);

/// The whole file; at most 4 MiB are read.
[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& file);
/// A file that the kernel gives out in one piece, as it does those about a single process; at most 8 KiB. One read(2).
[[nodiscard]] Result<std::string> read_record(const std::filesystem::path& file);

/// "" if the process is gone.
[[nodiscard]] std::string comm(const std::filesystem::path& root, pid_t pid);
/// Path of the executable, without the kernel's " (deleted)"; "" if unknown.
[[nodiscard]] std::string executable(const std::filesystem::path& root, pid_t pid);
/// File name of the executable, without the kernel's " (deleted)"; "" if unknown.
[[nodiscard]] std::string executable_name(const std::filesystem::path& root, pid_t pid);
/// Arguments; empty for kernel threads and zombies.
[[nodiscard]] std::vector<std::string> arguments(const std::filesystem::path& root, pid_t pid);

struct ProcessStat {
  std::string comm;
  char state = '?';  ///< as proc(5): R, S, D, Z, …
  pid_t parent = 0;  ///< 0 if it has none here
  bool kernel_thread = false;
  bool exiting = false;           ///< on its way to 'Z'
  std::uint64_t start_ticks = 0;  ///< since boot; with the pid, its identity. 0 if unknown
};
/// Empty if the process is gone.
[[nodiscard]] std::optional<ProcessStat> process_stat(const std::filesystem::path& root, pid_t pid);
/// Stopped by a signal, or about to be: a SIGSTOP is pending, as it stays while the process is in the kernel for long.
[[nodiscard]] bool is_stopped(const std::filesystem::path& root, pid_t pid);
/// Neither gone nor a zombie.
[[nodiscard]] bool is_running(const std::filesystem::path& root, pid_t pid);

/// Number in a link text such as "socket:[1234]" or "net:[4026531840]".
[[nodiscard]] std::optional<std::uint64_t> inode_of(std::string_view link_text, std::string_view prefix);
struct OpenSocket {
  int fd = -1;  ///< in that process
  std::uint64_t inode = 0;
};
/// The sockets that the process has open. Error: the fd directory cannot be read.
[[nodiscard]] Result<std::vector<OpenSocket>> open_sockets(const std::filesystem::path& root, pid_t pid);
/// Their inodes alone.
[[nodiscard]] Result<std::set<std::uint64_t>> socket_inodes(const std::filesystem::path& root, pid_t pid);
/// Inode of the process's network namespace.
[[nodiscard]] std::optional<std::uint64_t> network_namespace(const std::filesystem::path& root, pid_t pid);

enum class TcpState : std::uint8_t { kEstablished = 0x01, kListen = 0x0A };  // include/net/tcp_states.h

struct TcpRow {
  std::array<std::uint8_t, 16> local_address{};  ///< network order; IPv4 as v4-mapped IPv6
  std::uint16_t local_port = 0;
  std::array<std::uint8_t, 16> remote_address{};
  std::uint16_t remote_port = 0;
  std::uint8_t state = 0;
  std::uint64_t inode = 0;
};

/// One line of /proc/net/tcp or tcp6 (Documentation/networking/proc_net_tcp.rst); empty for the heading and for
/// anything else.
[[nodiscard]] std::optional<TcpRow> parse_tcp_row(std::string_view line);
/// Rows of /proc/PID/net/tcp and tcp6 in `state` that belong to `inodes`. A missing tcp6 (no IPv6) is no error.
[[nodiscard]] Result<std::vector<TcpRow>> tcp_rows(const std::filesystem::path& root, pid_t pid, TcpState state,
                                                   const std::set<std::uint64_t>& inodes);

}  // namespace chaos::proc
