// What the watches of NetProbes have in common. Internal to telemetry/; see watch.h.
#pragma once

#include <memory>
#include <utility>

#include "kernel/net_probes.h"
#include "telemetry/watch.h"

namespace chaos {

class NetWatchBase : public Watch {
 public:
  NetWatchBase(NetProbes probes, WatchTarget target) : probes_(std::move(probes)), target_(std::move(target)) {}

  Status follow(const WatchTarget& target) override {
    target_ = target;
    return target.cgroups ? probes_.narrow_to(*target.cgroups) : Status{};
  }
  [[nodiscard]] std::unique_ptr<Mark> mark() const override {
    return std::make_unique<Counts>(probes_.read(), probes_.missed());
  }
  void add_objects(WatchObjects& objects) const override {
    for (const std::uint32_t id : probes_.map_ids()) objects.maps.insert(id);
    for (const std::uint32_t id : probes_.program_ids()) objects.programs.insert(id);
    for (const std::uint32_t id : probes_.link_ids()) objects.links.insert(id);
  }

 protected:
  [[nodiscard]] const NetProbes& probes() const { return probes_; }
  [[nodiscard]] const WatchTarget& target() const { return target_; }
  [[nodiscard]] bool narrowed() const { return target_.cgroups.has_value(); }
  [[nodiscard]] chaos_net_counts counted_since(const Mark& mark) const {
    return difference(probes_.read(), static_cast<const Counts&>(mark).counts);
  }
  [[nodiscard]] std::uint64_t missed_since(const Mark& mark) const {
    return probes_.missed() - static_cast<const Counts&>(mark).missed;
  }

 private:
  struct Counts : Mark {
    Counts(const chaos_net_counts& at, std::uint64_t not_told) : counts(at), missed(not_told) {}
    chaos_net_counts counts;
    std::uint64_t missed;
  };
  NetProbes probes_;
  WatchTarget target_;
};

template <class Kind>
Result<std::unique_ptr<Watch>> attach_net_watch(NetWatch what, const ProbeIdentity& identity,
                                                const WatchTarget& target) {
  auto probes = NetProbes::attach(what, identity, target.cgroups);
  if (!probes) return std::unexpected(probes.error());
  return std::make_unique<Kind>(std::move(*probes), target);
}

}  // namespace chaos
