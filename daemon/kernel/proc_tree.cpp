#include "kernel/proc_tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <system_error>

#include "base/unique_fd.h"

namespace chaos::proc {
namespace {

constexpr std::size_t kMaxFile = 4U << 20;

std::filesystem::path process_dir(const std::filesystem::path& root, pid_t pid) { return root / std::to_string(pid); }

template <class T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Empty on error, and for what is longer than any path. One system call, where std::filesystem makes two.
std::string read_link(const std::filesystem::path& link) {
  std::array<char, 4096> target;
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(length));
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t at = std::min(text.find(separator), text.size());
    if (at > 0) parts.push_back(text.substr(0, at));
    text.remove_prefix(std::min(at + 1, text.size()));
  }
  return parts;
}

// "0100007F:0016": the address as 32-bit words, each printed as a number of the host's byte order.
bool parse_endpoint(std::string_view text, std::array<std::uint8_t, 16>& address, std::uint16_t& port) {
  const std::size_t colon = text.find(':');
  if (colon != 8 && colon != 32) return false;
  const auto parsed_port = parse_number<std::uint16_t>(text.substr(colon + 1), 16);
  if (!parsed_port) return false;
  port = *parsed_port;
  address = {};
  std::size_t at = 0;
  if (colon == 8) {
    address[10] = address[11] = 0xff;
    at = 12;
  }
  for (std::size_t word = 0; word < colon; word += 8, at += 4) {
    const auto value = parse_number<std::uint32_t>(text.substr(word, 8), 16);
    if (!value) return false;
    std::memcpy(address.data() + at, &*value, sizeof *value);
  }
  return true;
}

}  // namespace

Result<std::vector<pid_t>> list_processes(const std::filesystem::path& root) {
  std::error_code error;
  std::vector<pid_t> pids;
  for (std::filesystem::directory_iterator entry(root, error), end; !error && entry != end; entry.increment(error)) {
    if (const auto pid = parse_number<pid_t>(entry->path().filename().string())) pids.push_back(*pid);
  }
  if (error) return fail_errno("list processes in " + root.string(), error.value());
  std::ranges::sort(pids);
  return pids;
}

Result<std::string> read_file(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(file.string());
  std::string text;
  std::array<char, 16384> buffer;
  while (text.size() < kMaxFile) {
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(file.string());
    if (size == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

Result<std::string> read_record(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno(file.string());
  std::array<char, 8192> buffer;
  const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
  if (size < 0) return fail_errno(file.string());
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

std::string executable(const std::filesystem::path& root, pid_t pid) {
  constexpr std::string_view kDeleted = " (deleted)";
  std::string target = read_link(process_dir(root, pid) / "exe");
  if (target.ends_with(kDeleted)) target.resize(target.size() - kDeleted.size());
  return target;
}

std::string comm(const std::filesystem::path& root, pid_t pid) {
  std::string text = read_record(process_dir(root, pid) / "comm").value_or("");
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string executable_name(const std::filesystem::path& root, pid_t pid) {
  return std::filesystem::path(executable(root, pid)).filename().string();
}

std::vector<std::string> arguments(const std::filesystem::path& root, pid_t pid) {
  const std::string text = read_file(process_dir(root, pid) / "cmdline").value_or("");
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\0', start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

std::optional<ProcessStat> process_stat(const std::filesystem::path& root, pid_t pid) {
  const auto text = read_record(process_dir(root, pid) / "stat");
  if (!text) return std::nullopt;
  // "PID (COMM) STATE PPID …": comm may hold blanks and parentheses, so count from its end (proc(5)).
  const std::size_t open = text->find('(');
  const std::size_t close = text->rfind(')');
  if (close == std::string::npos || open >= close) return std::nullopt;
  const auto fields = split(std::string_view(*text).substr(close + 1), ' ');
  if (fields.size() < 2) return std::nullopt;
  const auto parent = parse_number<pid_t>(fields[1]);
  if (!parent) return std::nullopt;
  // The 9th field of the line: flags (include/linux/sched.h).
  constexpr std::uint64_t kKernelThread = 0x00200000;
  constexpr std::uint64_t kExiting = 0x00000004;
  const auto flags = fields.size() > 6 ? parse_number<std::uint64_t>(fields[6]) : std::nullopt;
  // The 22nd: starttime.
  const auto start = fields.size() > 19 ? parse_number<std::uint64_t>(fields[19]) : std::nullopt;
  return ProcessStat{.comm = text->substr(open + 1, close - open - 1),
                     .state = fields[0].front(),
                     .parent = *parent,
                     .kernel_thread = flags && (*flags & kKernelThread) != 0,
                     .exiting = flags && (*flags & kExiting) != 0,
                     .start_ticks = start.value_or(0)};
}

bool is_stopped(const std::filesystem::path& root, pid_t pid) {
  const auto stat = process_stat(root, pid);
  if (!stat) return false;
  if (stat->state == 'T') return true;
  const auto status = read_record(process_dir(root, pid) / "status");
  constexpr std::string_view kLabel = "\nShdPnd:\t";  // what is pending for the process as a whole, a bit per signal
  const std::size_t at = status ? status->find(kLabel) : std::string::npos;
  if (at == std::string::npos) return false;
  const std::size_t begin = at + kLabel.size();
  const std::size_t end = std::min(status->find('\n', begin), status->size());
  const auto pending = parse_number<std::uint64_t>(std::string_view(*status).substr(begin, end - begin), 16);
  return pending && (*pending >> (SIGSTOP - 1) & 1U) != 0;
}

bool is_running(const std::filesystem::path& root, pid_t pid) {
  const auto stat = process_stat(root, pid);
  return stat && stat->state != 'Z' && stat->state != 'X';
}

std::optional<std::uint64_t> inode_of(std::string_view link_text, std::string_view prefix) {
  if (!link_text.starts_with(prefix)) return std::nullopt;
  link_text.remove_prefix(prefix.size());
  if (!link_text.starts_with(":[") || !link_text.ends_with(']')) return std::nullopt;
  return parse_number<std::uint64_t>(link_text.substr(2, link_text.size() - 3));
}

Result<std::vector<OpenSocket>> open_sockets(const std::filesystem::path& root, pid_t pid) {
  const std::filesystem::path directory = process_dir(root, pid) / "fd";
  std::error_code error;
  std::vector<OpenSocket> sockets;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto inode = inode_of(read_link(entry->path()), "socket");
    const auto fd = parse_number<int>(entry->path().filename().native());
    if (inode && fd) sockets.push_back({*fd, *inode});
  }
  if (error) return fail_errno(directory.string(), error.value());
  return sockets;
}

Result<std::set<std::uint64_t>> socket_inodes(const std::filesystem::path& root, pid_t pid) {
  const auto sockets = open_sockets(root, pid);
  if (!sockets) return std::unexpected(sockets.error());
  std::set<std::uint64_t> inodes;
  for (const OpenSocket& socket : *sockets) inodes.insert(socket.inode);
  return inodes;
}

std::optional<std::uint64_t> network_namespace(const std::filesystem::path& root, pid_t pid) {
  return inode_of(read_link(process_dir(root, pid) / "ns" / "net"), "net");
}

std::optional<TcpRow> parse_tcp_row(std::string_view line) {
  // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
  const auto fields = split(line, ' ');
  if (fields.size() < 10) return std::nullopt;
  TcpRow row;
  if (!parse_endpoint(fields[1], row.local_address, row.local_port)) return std::nullopt;
  if (!parse_endpoint(fields[2], row.remote_address, row.remote_port)) return std::nullopt;
  const auto state = parse_number<std::uint8_t>(fields[3], 16);
  const auto inode = parse_number<std::uint64_t>(fields[9]);
  if (!state || !inode) return std::nullopt;
  row.state = *state;
  row.inode = *inode;
  return row;
}

Result<std::vector<TcpRow>> tcp_rows(const std::filesystem::path& root, pid_t pid, TcpState state,
                                     const std::set<std::uint64_t>& inodes) {
  std::vector<TcpRow> rows;
  for (const std::string_view name : {"tcp", "tcp6"}) {
    const std::filesystem::path file = process_dir(root, pid) / "net" / name;
    errno = 0;
    std::ifstream stream(file);  // line by line: the table of a busy host has many megabytes
    if (!stream.is_open()) {
      if (errno == ENOENT && name == "tcp6") continue;
      return fail_errno(file.string());
    }
    for (std::string line; std::getline(stream, line);) {
      const auto row = parse_tcp_row(line);
      if (row && row->state == static_cast<std::uint8_t>(state) && inodes.contains(row->inode)) rows.push_back(*row);
    }
    if (stream.bad()) return fail_errno("read " + file.string());
  }
  return rows;
}

}  // namespace chaos::proc
