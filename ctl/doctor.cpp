#include "ctl/doctor.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<std::string>(stream), {}};
}

/// The rest of the line that begins with `key`; empty if there is none.
std::string line_value(const fs::path& file, std::string_view key) {
  std::istringstream lines(read_text(file));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return {};
}

struct KernelVersion {
  int major = 0;
  int minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

KernelVersion kernel_version(const HostView& host) {
  KernelVersion version;
  const std::string release = read_text(host.root / "proc/sys/kernel/osrelease");
  if (std::sscanf(release.c_str(), "%d.%d", &version.major, &version.minor) != 2) return {};
  return version;
}

Check check_kernel(const HostView& host) {
  const std::string release = read_text(host.root / "proc/sys/kernel/osrelease");
  if (kernel_version(host) >= KernelVersion{6, 1}) return {"kernel", Verdict::kOk, release, {}};
  return {"kernel", Verdict::kFail, (release.empty() ? "unknown" : release) + ": chaosd needs 6.1 or newer",
          "boot a newer kernel (Debian 12 has 6.1)"};
}

Check check_btf(const HostView& host) {
  std::error_code error;
  if (fs::exists(host.root / "sys/kernel/btf/vmlinux", error)) {
    return {"BTF", Verdict::kOk, "the kernel describes its types: programs adapt to it", {}};
  }
  return {"BTF", Verdict::kFail, "no /sys/kernel/btf/vmlinux: the programs cannot be fitted to this kernel",
          "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; in a container, mount /sys"};
}

Check check_tcx(const HostView& host) {
  if (kernel_version(host) >= KernelVersion{6, 6}) {
    return {"tcx", Verdict::kOk, "the kernel is new enough for tcx links, which go when chaosd goes", {}};
  }
  return {
      "tcx", Verdict::kWarn,
      "the kernel is older than 6.6 and has no tcx: chaosd attaches by clsact filters, which outlive it and are undone "
      "by its guardian",
      "nothing needs to be done; from 6.6 on the kernel itself takes everything back"};
}

// capability.h, linux 5.8 and later.
constexpr std::array<std::pair<std::string_view, unsigned>, 4> kCapabilities{
    {{"CAP_NET_ADMIN", 12}, {"CAP_SYS_ADMIN", 21}, {"CAP_PERFMON", 38}, {"CAP_BPF", 39}}};

constexpr unsigned kIpcLock = 14;

bool has_capability(const HostView& host, unsigned bit) {
  const std::string text = line_value(host.root / "proc/self/status", "CapEff:\t");
  std::uint64_t effective = 0;
  std::from_chars(text.data(), text.data() + text.size(), effective, 16);
  return (effective >> bit & 1) != 0;
}

Check check_privilege(const HostView& host) {
  std::string missing;
  for (const auto& [name, bit] : kCapabilities) {
    if (!has_capability(host, bit)) missing += (missing.empty() ? "" : ", ") + std::string(name);
  }
  if (missing.empty()) return {"privilege", Verdict::kOk, "all capabilities that chaosd needs", {}};
  if (host.daemon_answers) {
    return {"privilege", Verdict::kOk, "you lack " + missing + "; the daemon runs and has what it needs", {}};
  }
  if (!host.is_root) {
    return {"privilege", Verdict::kFail, "you are not root and lack " + missing + ": started by you, chaosd would fail",
            "run the doctor as root to see what chaosd would have"};
  }
  return {"privilege", Verdict::kFail, "root, but without " + missing,
          "a container or a service unit takes them away: add them (CapabilityBoundingSet=, --cap-add)"};
}

Check check_cgroup(const HostView& host) {
  std::istringstream mounts(read_text(host.root / "proc/self/mounts"));
  std::string v2;
  bool v1 = false;
  for (std::string line; std::getline(mounts, line);) {
    const std::vector<std::string> fields = words_of(line);
    if (fields.size() < 3) continue;
    if (fields[2] == "cgroup2" && v2.empty()) v2 = fields[1];
    v1 = v1 || fields[2] == "cgroup";
  }
  if (v2.empty()) {
    return {"cgroup", Verdict::kWarn, "no cgroup v2 tree is mounted: targets by unit, cgroup or container cannot work",
            "mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1"};
  }
  if (!v1) return {"cgroup", Verdict::kOk, "pure v2 at " + v2, {}};
  return {"cgroup",
          Verdict::kOk,
          "hybrid: v1 controllers, v2 tree at " + v2 + "; what is only in v1 is targeted by netns",
          {}};
}

Check check_lockdown(const HostView& host) {
  const std::string modes = read_text(host.root / "sys/kernel/security/lockdown");
  const std::size_t begin = modes.find('[');
  const std::size_t end = modes.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    return {"lockdown",
            Verdict::kOk,
            "not known: securityfs is not mounted or holds no lockdown, which is as good as none",
            {}};
  }
  const std::string mode = modes.substr(begin + 1, end - begin - 1);
  if (mode == "confidentiality") {
    return {"lockdown", Verdict::kWarn,
            "confidentiality: BPF programs may not read kernel memory; packet faults still work",
            "boot with lockdown=integrity or none to have all kinds"};
  }
  return {"lockdown", Verdict::kOk, mode, {}};
}

Check check_memlock(const HostView& host) {
  const std::vector<std::string> limits = words_of(line_value(host.root / "proc/self/limits", "Max locked memory"));
  const std::string soft = limits.empty() ? "" : limits.front();
  if (has_capability(host, kIpcLock)) {
    return {"memlock", Verdict::kOk, "CAP_IPC_LOCK: memory is locked whatever the limit", {}};
  }
  constexpr std::uint64_t kEnough = std::uint64_t{64} << 20;
  std::uint64_t bytes = 0;
  std::from_chars(soft.data(), soft.data() + soft.size(), bytes);
  if (soft == "unlimited" || bytes >= kEnough) return {"memlock", Verdict::kOk, soft, {}};
  return {"memlock", Verdict::kWarn,
          fmt::format("{} bytes: chaosd may not lock its memory, and a lease may lapse on a host that swaps",
                      soft.empty() ? "unknown" : soft),
          "LimitMEMLOCK=infinity in the unit (the packaged one has it), or ulimit -l unlimited"};
}

Check check_groups(const HostView& host) {
  std::string missing;
  for (const char* group : {"chaos", "chaos-view"}) {
    if (!host.group_exists(group)) missing += (missing.empty() ? "" : " and ") + std::string(group);
  }
  if (missing.empty()) return {"groups", Verdict::kOk, "chaos operates, chaos-view reads", {}};
  return {"groups", Verdict::kWarn, "no group " + missing + ": only root can use the sockets",
          "systemd-sysusers (with the packaged sysusers file), or groupadd --system GROUP"};
}

Check check_init(const HostView& host) {
  const std::string comm = read_text(host.root / "proc/1/comm");
  if (comm == "systemd") return {"systemd", Verdict::kOk, "PID 1", {}};
  return {"systemd", Verdict::kWarn,
          fmt::format("PID 1 is '{}': nothing restarts chaosd, and units are no targets", comm),
          "run chaosd under another supervisor"};
}

Check check_socket(const HostView& host) {
  const fs::path socket = host.root / fs::path(host.socket).relative_path();
  struct stat status {};
  if (::stat(socket.c_str(), &status) != 0) {
    return {"socket", Verdict::kWarn, fmt::format("{}: {}", host.socket, errno_name(errno)),
            errno == EACCES ? "be root, or in group chaos or chaos-view" : "start the daemon: systemctl start chaosd"};
  }
  const unsigned mode = status.st_mode & 07777;
  if (!S_ISSOCK(status.st_mode)) {
    return {"socket", Verdict::kWarn, host.socket + " is no socket", "remove it and start chaosd"};
  }
  if ((mode & 07) != 0) {
    return {"socket", Verdict::kWarn, fmt::format("{} has mode {:04o}: everybody may open it", host.socket, mode),
            "chmod 0660; only the daemon's role check stands in the way"};
  }
  return {"socket", Verdict::kOk, fmt::format("{}, mode {:04o}", host.socket, mode), {}};
}

}  // namespace

std::vector<Check> check_host(const HostView& host) {
  std::vector<Check> checks;
  for (const auto check : {check_kernel, check_btf, check_privilege, check_tcx, check_cgroup, check_lockdown,
                           check_memlock, check_groups, check_init, check_socket}) {
    checks.push_back(check(host));
  }
  return checks;
}

std::vector<Check> check_daemon(const Json& health, const Json& features) {
  if (!health.is_object()) {
    return {{"daemon", Verdict::kWarn, "does not answer: what this kernel really lets it load was not tried",
             "systemctl status chaosd; journalctl -u chaosd"}};
  }
  std::vector<Check> checks;
  const std::string status = text_of(health, "status");
  const std::string version = text_of(health, "version");
  checks.push_back(status == "ok" ? Check{"daemon", Verdict::kOk, "version " + version + ", healthy", {}}
                                  : Check{"daemon", Verdict::kWarn, "version " + version + " reports: " + status,
                                          "chaosctl health; journalctl -u chaosd"});
  if (flag_at(health, "latched")) {
    checks.push_back({"latch", Verdict::kWarn, "an emergency stop holds: " + text_of(health, "latch_reason"),
                      "chaosctl rearm, when it is over"});
  }
  for (const Json& feature : list_at(features, "features")) {
    if (flag_at(feature, "available")) continue;
    const std::string instead = text_of(feature, "used_instead");
    checks.push_back({"feature " + text_of(feature, "name"), Verdict::kWarn, "not here: " + text_of(feature, "reason"),
                      instead.empty() ? "kinds that need it are refused" : "used instead: " + instead});
  }
  return checks;
}

}  // namespace chaos::ctl
