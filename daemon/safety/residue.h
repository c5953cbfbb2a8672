// Residue attestation: what of one instance of chaosd is left on this host. Looks at the kernel and the file system
// itself, not at chaosd's records, so that it works beside a living daemon, after a dead one, and in chaosctl.
//
// Blocks (it walks /proc, the cgroup trees and every network namespace): never on the loop or the lease thread.
// Namespaces are entered in a thread of its own; no file descriptor outlives the call. Needs root.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/instance.h"
#include "base/result.h"

namespace chaos {

/// Classes of residue, in the order in which find_residue lists them.
namespace residue {
inline constexpr std::string_view kLink = "link";              ///< BPF link of a tagged program; id: link id
inline constexpr std::string_view kProgram = "program";        ///< tagged BPF program; id: program id
inline constexpr std::string_view kMap = "map";                ///< tagged BPF map; id: map id
inline constexpr std::string_view kAttachment = "attachment";  ///< tagged program on tcx without a link
inline constexpr std::string_view kQdisc = "qdisc";            ///< classic tc filter with a tagged program
inline constexpr std::string_view kDevice = "device";          ///< network device named chaosd-TAG-*; id: name
inline constexpr std::string_view kCgroup = "cgroup";    ///< directory chaosd-INSTANCE or chaosd-INSTANCE.*; id: path
inline constexpr std::string_view kProcess = "process";  ///< chaosd or chaosd-*, but not the caller; id: pid
inline constexpr std::string_view kFile = "file";        ///< in the runtime directory or motd.d; id: path
inline constexpr std::string_view kPin = "pin";          ///< in bpffs; id: path
inline constexpr std::string_view kJournal = "journal";  ///< undo record that was not replayed; id: path
/// Something could not be looked at (id: what; detail: why): the host is then not attested clean.
inline constexpr std::string_view kUnchecked = "unchecked";
}  // namespace residue

struct ResidueItem {
  std::string cls;     ///< one of the above
  std::string id;      ///< what an operator would look it up by
  std::string detail;  ///< for people: name, interface, namespace
  friend auto operator<=>(const ResidueItem&, const ResidueItem&) = default;
};

/// Whose residue, and where to look. own_* is what a living daemon accounts for: not residue, unless
/// daemon_alive is false.
struct ResidueScope {
  std::string instance = std::string(kDefaultInstance);
  std::filesystem::path runtime_dir;  ///< need not exist; empty: not looked at
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroup_root = "/sys/fs/cgroup";  ///< v1, hybrid or v2
  std::filesystem::path bpffs = "/sys/fs/bpf";           ///< looked at if a bpffs is mounted there
  std::filesystem::path netns_dir = "/run/netns";
  std::filesystem::path motd_dir = "/run/motd.d";

  bool daemon_alive = false;
  pid_t own_pid = 0;  ///< the living daemon
  std::set<std::uint32_t> own_links;
  std::set<std::uint32_t> own_programs;
  std::set<std::uint32_t> own_maps;
  std::set<std::string> own_devices;            ///< names
  std::set<pid_t> own_processes;                ///< guardian; its children, load workers, are in any case
  std::set<std::filesystem::path> own_cgroups;  ///< absolute paths, with all below them
  std::set<std::filesystem::path> own_files;    ///< absolute paths: undo records of active scenarios
};

/// Sorted by class (in the order above), then by discovery. Empty means: looked everywhere, nothing is left. An object
/// that goes away meanwhile is no residue (BPF objects get up to 1 s for that, for the kernel frees them after RCU's
/// grace periods); one that cannot be read is `unchecked` and hides nothing else. Error: kInvalid if the instance name
/// is none.
[[nodiscard]] Result<std::vector<ResidueItem>> find_residue(const ResidueScope& scope);

}  // namespace chaos
