// NetProbes: BPF programs that watch the network stack (bpf/telemetry_net.bpf.c), attached as long as the object lives:
// links are owned by descriptors, nothing is pinned, nothing is changed. Needs CAP_BPF and CAP_PERFMON. Worker thread;
// read(): any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bpf/telemetry_abi.h"
#include "kernel/cgroup.h"

namespace chaos {

/// What a set of programs watches: drops with OOM kills, or TCP.
enum class NetWatch : std::uint8_t { kDrops, kTcp };

/// What watching programs must know of this chaosd.
struct ProbeIdentity {
  std::string tag;                       ///< instance_tag()
  std::uint64_t drop_mark = 0;           ///< chaos_control.drop_mark
  int failing_calls = -1;                ///< the map of that name, which programs that fail calls write
  std::uint32_t* watch_calls = nullptr;  ///< chaos_control.watch_calls; must outlive what is attached
};

class NetProbes {
 public:
  /// Attached, and counts from now on: of the whole host, or of `cgroups` (at most CHAOS_SCOPE_CGROUPS) and what is
  /// below them. Some 100 ms. Errors: kUnsupported with what the kernel refuses, kRefused (too many cgroups),
  /// kInternal.
  static Result<NetProbes> attach(NetWatch what, const ProbeIdentity& identity,
                                  const std::optional<std::vector<Cgroup>>& cgroups = std::nullopt);
  NetProbes(NetProbes&&) noexcept;
  NetProbes& operator=(NetProbes&&) noexcept;
  ~NetProbes();

  /// From now on these, if it is narrowed. Error: kRefused (too many).
  Status narrow_to(const std::vector<Cgroup>& cgroups);
  /// Sums over all CPUs since it was attached.
  [[nodiscard]] chaos_net_counts read() const;
  /// Events that the kernel did not tell: it runs no program within itself.
  [[nodiscard]] std::uint64_t missed() const;

  // Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> map_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> program_ids() const;
  [[nodiscard]] std::vector<std::uint32_t> link_ids() const;

 private:
  struct Impl;
  explicit NetProbes(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// `now` less `before`, of one NetProbes.
[[nodiscard]] chaos_net_counts difference(const chaos_net_counts& now, const chaos_net_counts& before);

}  // namespace chaos
