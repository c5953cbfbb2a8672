// Watch: eBPF programs that count while somebody asks, and are gone when nobody does. One set of programs counts for
// all who ask about the same thing; each gets what came since it asked. Worker thread; set_series() and add_objects():
// any thread, as long as the object lives.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "kernel/cgroup.h"
#include "kernel/net_probes.h"
#include "plan/services.h"
#include "plan/target.h"
#include "telemetry/registry.h"

namespace chaos {

enum class WatchKind : std::uint8_t { kDrops, kTcp, kSyscalls };
[[nodiscard]] std::string_view to_string(WatchKind kind);

/// Whose events are counted, as it is at the moment.
struct WatchTarget {
  std::string scope = "host";                  ///< "service web"; names it in answers and series
  std::optional<std::vector<Cgroup>> cgroups;  ///< these and what is below them; empty: the whole host
  std::vector<pid_t> processes;                ///< these and their descendants, where there are no cgroups
  std::vector<pid_t> netns_members;            ///< one process of each network namespace that it lives in
  bool by_name = false;                        ///< it may come back elsewhere
};

/// `keys`: none, or one of service, unit, cgroup and container; of system calls one of these or pid. Looks at /proc:
/// some ms. Errors: kInvalid with the field, kNotFound (no such thing, or it does not run), kUnsupported (what it names
/// has no cgroup v2 of its own, and sockets are asked for).
[[nodiscard]] Result<WatchTarget> find_watch_target(WatchKind kind, const TargetKeys& keys,
                                                    const ServiceConfigs& services);

struct WatchObjects {
  std::set<std::uint32_t> maps;
  std::set<std::uint32_t> programs;
  std::set<std::uint32_t> links;
};

class Watch {
 public:
  /// Counts at one moment.
  class Mark {
   public:
    virtual ~Mark() = default;
  };

  virtual ~Watch() = default;
  /// The target is there from now on. Error: kRefused (too many cgroups or processes).
  virtual Status follow(const WatchTarget& target) = 0;
  [[nodiscard]] virtual std::unique_ptr<Mark> mark() const = 0;
  /// What has been counted since one of its marks, as the API says it; but for "scope" and times.
  [[nodiscard]] virtual nlohmann::json report(const Mark& since) const = 0;
  /// All that it has counted.
  virtual void set_series(Registry& registry, std::string_view scope) const = 0;
  virtual void add_objects(WatchObjects& objects) const = 0;
};

/// Attaches it. Errors: kUnsupported with what the kernel refuses, kRefused (too many cgroups), kInternal.
[[nodiscard]] Result<std::unique_ptr<Watch>> attach_watch(WatchKind kind, const ProbeIdentity& identity,
                                                          const WatchTarget& target);

// Of attach_watch().
[[nodiscard]] Result<std::unique_ptr<Watch>> attach_drop_watch(const ProbeIdentity& identity,
                                                               const WatchTarget& target);
[[nodiscard]] Result<std::unique_ptr<Watch>> attach_tcp_watch(const ProbeIdentity& identity, const WatchTarget& target);
[[nodiscard]] Result<std::unique_ptr<Watch>> attach_syscall_watch(const ProbeIdentity& identity,
                                                                  const WatchTarget& target);

}  // namespace chaos
