#include "kernel/processes.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <system_error>

#include "kernel/proc_tree.h"

namespace chaos {
namespace {

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view label, unsigned skip) {
  const std::size_t at = text.find(label);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + label.size());
  for (; skip > 0; --skip) {
    text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
    text.remove_prefix(std::min(text.find_first_not_of("0123456789"), text.size()));
  }
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

}  // namespace

std::string cgroup2_of(std::string_view text) {
  // The hierarchy without a number and without controllers (cgroups(7)).
  constexpr std::string_view kLabel = "0::";
  const std::size_t at = text.starts_with(kLabel) ? 0 : text.find("\n0::");
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + kLabel.size() + (at == 0 ? 0 : 1));
  return std::string(text.substr(0, text.find('\n')));
}

std::string cgroup_of(std::string_view text) {
  std::string systemd;
  std::string other;
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (path.empty() || path == "/") continue;
    if (controllers.empty()) return path;
    if (controllers == "name=systemd") systemd = path;
    if (other.empty()) other = path;
  }
  return !systemd.empty() ? systemd : !other.empty() ? other : "/";
}

Result<std::vector<Process>> list_user_processes(const std::filesystem::path& proc) {
  auto pids = proc::list_processes(proc);
  if (!pids) return std::unexpected(pids.error());
  std::vector<Process> all;
  for (const pid_t pid : *pids) {
    const std::filesystem::path directory = proc / std::to_string(pid);
    const auto stat = proc::process_stat(proc, pid);
    if (!stat || stat->kernel_thread || stat->state == 'Z' || stat->state == 'X') continue;
    const auto status = proc::read_record(directory / "status");
    if (!status) continue;
    // Only what has an address space of its own has these lines (proc(5)): kernel threads have none.
    if (!status->contains("\nVmSize:")) continue;
    const std::string cgroups = proc::read_record(directory / "cgroup").value_or("");
    Process process{.pid = pid,
                    .parent = stat->parent,
                    .comm = stat->comm,
                    .executable = proc::executable(proc, pid),
                    .cgroup = cgroup_of(cgroups),
                    .cgroup2 = cgroup2_of(cgroups),
                    .netns = proc::network_namespace(proc, pid),
                    .start_ticks = stat->start_ticks};
    // "Uid: real effective saved filesystem"
    process.uid = static_cast<uid_t>(number_after(*status, "\nUid:", 1).value_or(0));
    all.push_back(std::move(process));
  }
  return all;
}

std::optional<std::uint64_t> start_ticks(pid_t pid, const std::filesystem::path& proc) {
  const auto stat = proc::process_stat(proc, pid);
  return stat && stat->start_ticks > 0 ? std::optional(stat->start_ticks) : std::nullopt;
}

std::optional<WallTime> start_time(pid_t pid, const std::filesystem::path& proc) {
  const auto ticks = start_ticks(pid, proc);
  const auto boot = proc::read_file(proc / "stat");
  if (!ticks || !boot) return std::nullopt;
  const auto boot_seconds = number_after("\n" + *boot, "\nbtime ", 0);
  if (!boot_seconds) return std::nullopt;
  const auto per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  return WallTime(std::chrono::milliseconds(*boot_seconds * 1000 + *ticks * 1000 / per_second));
}

std::vector<pid_t> with_descendants(const std::vector<Process>& all, pid_t pid) {
  std::multimap<pid_t, pid_t> children;
  bool found = false;
  for (const Process& process : all) {
    children.emplace(process.parent, process.pid);
    found = found || process.pid == pid;
  }
  std::vector<pid_t> pids;
  if (found) pids.push_back(pid);
  for (std::size_t i = 0; i < pids.size(); ++i) {
    const auto [first, last] = children.equal_range(pids[i]);
    for (auto child = first; child != last; ++child) pids.push_back(child->second);
  }
  std::ranges::sort(pids);
  return pids;
}

Status add_with_descendants(const std::vector<pid_t>& processes, const std::function<Result<bool>(pid_t)>& add) {
  std::vector<pid_t> fresh = processes;
  while (!fresh.empty()) {
    std::vector<pid_t> added;
    for (const pid_t pid : fresh) {
      const auto is_new = add(pid);
      if (!is_new) return std::unexpected(is_new.error());
      if (*is_new) added.push_back(pid);
    }
    if (added.empty()) return {};
    const auto all = list_user_processes();
    if (!all) return std::unexpected(all.error());
    fresh.clear();
    for (const pid_t pid : added) {
      const std::vector<pid_t> below = with_descendants(*all, pid);
      std::ranges::copy_if(below, std::back_inserter(fresh), [pid](pid_t child) { return child != pid; });
    }
  }
  return {};
}

bool cgroup_contains(std::string_view parent, std::string_view path) {
  while (parent.ends_with('/')) parent.remove_suffix(1);
  return path.starts_with(parent) && (path.size() == parent.size() || path[parent.size()] == '/');
}

}  // namespace chaos
