#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>

#include "kernel/proc_tree.h"
#include "safety/residue_parts.h"
#include "safety/undo_replay.h"

namespace chaos::residue {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kJournalDir = "journal";
constexpr std::string_view kUndoSuffix = ".undo";
// What may stay when chaosd is gone: the stop file is an operator's, the lock file holds no state.
constexpr std::array<std::string_view, 3> kNeverResidue = {"STOP", "lock", "chaosd.lock"};
constexpr std::array<std::string_view, 2> kSockets = {"chaosd.sock", "chaosd-view.sock"};
constexpr std::string_view kPidFile = "chaosd.pid";
constexpr std::string_view kNewMotdFile = "motd.new";  // for a moment, in place of kMotdFile

// Calls `visit(entry)` for each; a directory that is not there is empty.
template <class Visit>
void for_each_entry(const fs::path& directory, Items& items, const Visit& visit) {
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    visit(*entry);
  }
  // ENODEV: a cgroup that was removed while it was being listed.
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::no_such_device) {
    add_unchecked(items, directory.string(), fail_errno("list", error.value()).error());
  }
}

bool is_plain_directory(const fs::directory_entry& entry) {
  std::error_code ignored;
  return !entry.is_symlink(ignored) && entry.is_directory(ignored);
}

void walk_cgroups(const ResidueScope& scope, const fs::path& directory, Items& items) {
  for_each_entry(directory, items, [&](const fs::directory_entry& entry) {
    if (!is_plain_directory(entry)) return;
    if (scope.own_cgroups.contains(entry.path())) return;
    if (!is_instance_path_name(entry.path().filename().string(), scope.instance)) {
      walk_cgroups(scope, entry.path(), items);
      return;
    }
    const auto procs = proc::read_file(entry.path() / "cgroup.procs").value_or("");
    const auto count = std::ranges::count(procs, '\n');
    items.push_back({std::string(kCgroup), entry.path().string(), fmt::format("{} in cgroup.procs", count)});
  });
}

// True if somebody listens on the socket file: with socket activation systemd keeps it while chaosd is away.
bool has_listener(const fs::path& proc_root, const fs::path& socket) {
  constexpr std::string_view kAcceptsConnections = " 00010000 ";  // __SO_ACCEPTCON, include/linux/net.h
  const auto text = proc::read_file(proc_root / "net" / "unix");
  if (!text) return false;
  const std::string ending = " " + socket.string() + "\n";
  for (std::size_t at = text->find(ending); at != std::string::npos; at = text->find(ending, at + 1)) {
    const std::size_t start = text->rfind('\n', at) + 1;  // npos + 1 is 0
    if (std::string_view(*text).substr(start, at - start).contains(kAcceptsConnections)) return true;
  }
  return false;
}

bool belongs_in_runtime_dir(const ResidueScope& scope, const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  if (std::ranges::find(kNeverResidue, name) != kNeverResidue.end()) return true;
  if (name == kJournalDir && is_plain_directory(entry)) return true;  // its records are looked at one by one
  const bool socket = std::ranges::find(kSockets, name) != kSockets.end();
  if (scope.daemon_alive) {
    return socket || name == kPidFile || name == kMotdFile || name == kNewMotdFile ||
           scope.own_files.contains(entry.path());
  }
  return socket && has_listener(scope.proc, entry.path());
}

/// The default instance's entry is called like the program: there, only what chaosd makes is meant, a link into /proc.
bool is_motd_of_instance(const fs::directory_entry& entry, std::string_view instance) {
  const std::string name = entry.path().filename().string();
  if (names_instance(name, instance)) return true;
  const std::string own = motd_name(instance);
  if (name != own && name != own + ".new") return false;
  std::error_code error;
  return fs::read_symlink(entry.path(), error).string().starts_with("/proc/");
}

/// The way of a living daemon's entry (announce/motd.h).
bool leads_through(const fs::directory_entry& entry, pid_t pid) {
  std::error_code error;
  return pid > 0 && fs::read_symlink(entry.path(), error).string().starts_with(fmt::format("/proc/{}/", pid));
}

}  // namespace

bool is_chaosd_of_instance(const std::vector<std::string>& arguments, std::string_view instance) {
  constexpr std::string_view kFlag = "--instance";
  if (arguments.empty()) return false;
  const std::string name = fs::path(arguments.front()).filename().string();
  if (name != "chaosd" && !name.starts_with("chaosd-")) return false;
  std::string_view found = kDefaultInstance;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == kFlag && i + 1 < arguments.size()) found = arguments[i + 1];
    if (argument.starts_with(kFlag) && argument.substr(kFlag.size()).starts_with('=')) {
      found = argument.substr(kFlag.size() + 1);
    }
  }
  return found == instance;
}

bool names_instance(std::string_view name, std::string_view instance) {
  const std::string own = instance_path_name(instance);
  for (std::size_t at = name.find(own); at != std::string_view::npos; at = name.find(own, at + 1)) {
    const std::string_view after = name.substr(at + own.size());
    if (after.empty() || !is_instance_name(after.substr(0, 1))) return true;
  }
  return false;
}

namespace {

/// A living daemon's load workers are its children, and so are wait servers, each with a child of its own: they end
/// with it.
bool is_helper_of(const ResidueScope& scope, pid_t pid) {
  const auto stat = proc::process_stat(scope.proc, pid);
  if (!stat) return false;
  if (stat->comm == kLoadWorkerComm) return stat->parent == scope.own_pid;
  if (stat->comm != kWaitComm) return false;
  if (stat->parent == scope.own_pid) return true;
  const auto parent = proc::process_stat(scope.proc, stat->parent);
  return parent && parent->comm == kWaitComm && parent->parent == scope.own_pid;
}

}  // namespace

void find_cgroups(const ResidueScope& scope, Items& items) { walk_cgroups(scope, scope.cgroup_root, items); }

void find_processes(const ResidueScope& scope, Items& items) {
  const auto pids = proc::list_processes(scope.proc);
  if (!pids) {
    add_unchecked(items, "processes", pids.error());
    return;
  }
  for (const pid_t pid : *pids) {
    if (pid == ::getpid()) continue;
    if (pid == scope.own_pid || scope.own_processes.contains(pid)) continue;
    const auto arguments = proc::arguments(scope.proc, pid);
    if (!is_chaosd_of_instance(arguments, scope.instance)) continue;
    if (scope.daemon_alive && scope.own_pid > 0 && is_helper_of(scope, pid)) continue;
    items.push_back({std::string(kProcess), std::to_string(pid), fmt::format("{}", fmt::join(arguments, " "))});
  }
}

void find_files(const ResidueScope& scope, Items& items) {
  if (!scope.runtime_dir.empty()) {
    for_each_entry(scope.runtime_dir, items, [&](const fs::directory_entry& entry) {
      if (belongs_in_runtime_dir(scope, entry)) return;
      items.push_back({std::string(kFile), entry.path().string(), "in the runtime directory"});
    });
    for_each_entry(scope.runtime_dir / kJournalDir, items, [&](const fs::directory_entry& entry) {
      if (scope.own_files.contains(entry.path())) return;
      if (entry.path().extension() == kUndoSuffix) {
        items.push_back({std::string(kJournal), entry.path().string(), "undo record that was not replayed"});
      } else if (!scope.daemon_alive && entry.path().filename() != kUndoReportFile) {
        items.push_back({std::string(kFile), entry.path().string(), "in the undo journal, but no record"});
      }
    });
  }
  for_each_entry(scope.motd_dir, items, [&](const fs::directory_entry& entry) {
    if (!is_motd_of_instance(entry, scope.instance)) return;
    if (scope.own_files.contains(entry.path()) || leads_through(entry, scope.own_pid)) return;
    items.push_back({std::string(kFile), entry.path().string(), "message of the day"});
  });
}

}  // namespace chaos::residue
