#include "plan/blast_radius.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/contains.h"

namespace chaos {

std::vector<Member> Population::in_netns(std::uint64_t inode) const {
  std::vector<Member> inside;
  std::ranges::copy_if(members, std::back_inserter(inside),
                       [inode](const Member& member) { return member.netns.contains(inode); });
  return inside;
}

std::vector<Member> Population::of_processes(const std::vector<pid_t>& pids) const {
  std::vector<Member> touched;
  std::ranges::copy_if(members, std::back_inserter(touched), [&pids](const Member& member) {
    return std::ranges::any_of(pids, [&member](pid_t pid) { return member.pids.contains(pid); });
  });
  return touched;
}

double blast_share(const Population& population, std::span<const Footprint> footprints) {
  if (std::ranges::any_of(footprints, &Footprint::everything)) return 1.0;
  std::map<std::string, double> all;
  for (const Member& member : population.members) all[member.name] = member.weight;
  std::map<std::string, double> touched;
  for (const Footprint& footprint : footprints) {
    for (const Member& member : footprint.members) {
      // Its weight of now, if it is still of the population.
      touched[member.name] = all.try_emplace(member.name, member.weight).first->second;
    }
  }
  double above = 0;
  double below = 0;
  for (const auto& [name, weight] : touched) above += weight;
  for (const auto& [name, weight] : all) below += weight;
  return below > 0 ? above / below : 0;
}

std::string format_share(double share, double beside) {
  const std::string two = fmt::format("{:.2f}", share);
  return two == fmt::format("{:.2f}", beside) && share != beside ? fmt::format("{:.4f}", share) : two;
}

}  // namespace chaos
