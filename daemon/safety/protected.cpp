#include "safety/protected.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <system_error>

#include "kernel/proc_tree.h"

namespace chaos {
namespace {

constexpr std::uint16_t kSshPort = 22;
constexpr int kMaxAncestors = 256;

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\"";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// The port of "2222", "0.0.0.0:2222" or "[::]:2222"; 0 if there is none.
std::uint16_t port_at_end(std::string_view text) {
  if (text.ends_with(']')) return 0;
  const std::size_t colon = text.rfind(':');
  // A second colon without brackets is a bare IPv6 address.
  if (colon != std::string_view::npos && text.find(':') != colon && !text.starts_with('[')) return 0;
  if (colon != std::string_view::npos) text.remove_prefix(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() ? port : std::uint16_t{0};
}

bool equal_nocase(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Calls `use(key, value)` for each line "key value" or "key = value"; text after # is left out.
template <class Use>
void for_each_setting(const std::filesystem::path& file, const Use& use) {
  const auto text = proc::read_file(file);
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    line = trim(line.substr(0, line.find('#')));
    const std::size_t key_end = line.find_first_of(" \t=");
    if (key_end == std::string_view::npos) continue;
    const std::size_t value_start = line.find_first_not_of(" \t=", key_end);
    if (value_start == std::string_view::npos) continue;
    use(line.substr(0, key_end), trim(line.substr(value_start)));
  }
}

std::vector<std::filesystem::path> conf_files(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".conf") files.push_back(entry->path());
  }
  return files;
}

void add_sshd_config(const std::filesystem::path& file, std::set<std::uint16_t>& ports) {
  for_each_setting(file, [&](std::string_view key, std::string_view value) {
    // "ListenAddress 1.2.3.4" has no port of its own, and no dot belongs into a port.
    const bool has_port = equal_nocase(key, "Port") || (equal_nocase(key, "ListenAddress") && value.contains(':'));
    if (!has_port) return;
    value = value.substr(0, value.find_first_of(" \t"));
    if (const std::uint16_t port = port_at_end(value); port != 0) ports.insert(port);
  });
}

void add_socket_unit(const std::filesystem::path& file, std::set<std::uint16_t>& ports) {
  for_each_setting(file, [&](std::string_view key, std::string_view value) {
    if (key != "ListenStream") return;
    if (const std::uint16_t port = port_at_end(value); port != 0) ports.insert(port);
  });
}

bool gone(const Error& error) { return error.sys_errno == ENOENT || error.sys_errno == ESRCH; }

bool is_sshd(const std::filesystem::path& root, pid_t pid) {
  return proc::comm(root, pid) == "sshd" || proc::executable_name(root, pid) == "sshd";
}

// Rows of one process's own sockets; none if it has gone meanwhile.
Result<std::vector<proc::TcpRow>> own_rows(const std::filesystem::path& root, pid_t pid, proc::TcpState state) {
  auto inodes = proc::socket_inodes(root, pid);
  if (inodes && inodes->empty()) return std::vector<proc::TcpRow>{};
  auto rows = inodes ? proc::tcp_rows(root, pid, state, *inodes) : std::unexpected(inodes.error());
  if (!rows && (gone(rows.error()) || !proc::is_running(root, pid))) return std::vector<proc::TcpRow>{};
  return rows;
}

}  // namespace

Result<std::set<SshListener>> find_ssh_listeners(const ProtectedSources& sources) {
  auto pids = proc::list_processes(sources.proc);
  if (!pids) return std::unexpected(std::move(pids.error()));
  std::set<SshListener> listeners;
  for (const pid_t pid : *pids) {
    if (!is_sshd(sources.proc, pid)) continue;
    const auto rows = own_rows(sources.proc, pid, proc::TcpState::kListen);
    if (!rows) return with_context("sockets of sshd", rows.error());
    if (rows->empty()) continue;
    const auto netns = proc::network_namespace(sources.proc, pid);
    for (const proc::TcpRow& row : *rows) listeners.insert({netns.value_or(0), row.local_port});
  }
  return listeners;
}

std::set<std::uint16_t> configured_ssh_ports(const ProtectedSources& sources) {
  std::set<std::uint16_t> ports = {kSshPort};
  add_sshd_config(sources.ssh_dir / "sshd_config", ports);
  for (const auto& file : conf_files(sources.ssh_dir / "sshd_config.d")) add_sshd_config(file, ports);
  for (const auto& directory : sources.unit_dirs) {
    for (const char* unit : {"ssh.socket", "sshd.socket"}) {
      add_socket_unit(directory / unit, ports);
      for (const auto& file : conf_files(directory / (std::string(unit) + ".d"))) add_socket_unit(file, ports);
    }
  }
  return ports;
}

Result<std::vector<FlowTuple>> find_caller_flows(pid_t pid, const ProtectedSources& sources) {
  std::vector<FlowTuple> flows;
  for (int depth = 0; pid > 0 && depth < kMaxAncestors; ++depth) {
    if (proc::comm(sources.proc, pid).starts_with("sshd")) {
      const auto rows = own_rows(sources.proc, pid, proc::TcpState::kEstablished);
      if (!rows) return with_context("connections of the caller's sshd", rows.error());
      for (const proc::TcpRow& row : *rows) {
        flows.push_back({row.local_address, row.local_port, row.remote_address, row.remote_port});
      }
    }
    const auto stat = proc::process_stat(sources.proc, pid);
    pid = stat ? stat->parent : 0;
  }
  std::ranges::sort(flows);
  const auto repeated = std::ranges::unique(flows);
  flows.erase(repeated.begin(), repeated.end());
  return flows;
}

Result<ProtectedTraffic> find_protected_traffic(std::optional<pid_t> caller, const ProtectedSources& sources) {
  ProtectedTraffic traffic;
  traffic.ssh_ports = configured_ssh_ports(sources);
  auto listeners = find_ssh_listeners(sources);
  if (!listeners) return std::unexpected(std::move(listeners.error()));
  for (const SshListener& listener : *listeners) traffic.ssh_ports.insert(listener.port);
  if (!caller) return traffic;
  auto flows = find_caller_flows(*caller, sources);
  if (!flows) return std::unexpected(std::move(flows.error()));
  traffic.flows = std::move(*flows);
  return traffic;
}

}  // namespace chaos
