// Blast radius: which part of a host, by weight, scenarios touch (CONTRACT, "Blast radius: one definition"). Values
// and pure functions; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace chaos {

/// One service, unit or other thing that a scenario can touch.
struct Member {
  std::string name;  ///< "service nginx", "interface eth1 (ifindex 3)"; equal names are the same member
  double weight = 1.0;
  std::set<std::uint64_t> netns{};  ///< inodes of the network namespaces that its processes live in
  std::set<pid_t> pids{};
};

/// Everything that counts, at one moment.
struct Population {
  std::string of;  ///< for messages: "configured services"
  std::vector<Member> members{};
  /// Those with a process in the network namespace.
  [[nodiscard]] std::vector<Member> in_netns(std::uint64_t inode) const;
  /// Those with one of these processes.
  [[nodiscard]] std::vector<Member> of_processes(const std::vector<pid_t>& pids) const;
};

/// What one scenario touches.
struct Footprint {
  bool everything = false;      ///< something that all share: the share is 1
  std::vector<Member> members;  ///< each once
};

/// The weight of what any of `footprints` touches, by the weight of all: 0 to 1. A touched member that is not of the
/// population (an interface or namespace of its own) counts above and below the line.
[[nodiscard]] double blast_share(const Population& population, std::span<const Footprint> footprints);

/// "0.33"; three digits where two would hide a difference from `beside`.
[[nodiscard]] std::string format_share(double share, double beside = -1);

}  // namespace chaos
