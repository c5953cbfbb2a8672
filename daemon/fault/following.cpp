#include "fault/following.h"

#include "fault/registry.h"
#include "plan/answers.h"
#include "plan/reach.h"

namespace chaos {
namespace {

Sighting follow_one(const Followed& followed, const ServiceConfigs& services, const std::vector<Process>& processes) {
  const auto kind = find_kind(followed.request.kind);
  // Host names are resolved once, when the scenario is planned: only the direction is needed here.
  TargetKeys target = followed.request.target;
  target.erase("peer");
  auto filter = parse_net_filter(target);
  if (!kind || !filter) return {followed.id, Whereabouts::kUnknown, "the request does not parse any more"};
  const KindSpec& aimed = aimed_as((*kind)->spec, followed.parameters);
  mean_answers(aimed, target, *filter);
  auto reach = find_reach(aimed, target, *filter, services, processes);
  Sighting sighting{followed.id, Whereabouts::kThere, {}};
  if (!reach) {
    sighting.detail = reach.error().message;
    if (reach.error().code != Errc::kNotFound) {
      sighting.where = Whereabouts::kUnknown;
      return sighting;
    }
    const bool bound = target.contains("cgroup") || target.contains("pid");
    sighting.where = bound ? Whereabouts::kGone : Whereabouts::kAway;
    reach = Reach{.networks = {}, .owners = SocketOwners{}, .processes = {}, .host = false, .notes = {}};
  }
  if (sighting.where == Whereabouts::kThere && followed.identity && reach->owners->identity != followed.identity) {
    return {followed.id, Whereabouts::kGone, "what it was bound to is gone, and its name or number another's"};
  }
  if (Status status = followed.fault->follow(*reach); !status) {
    sighting.where = Whereabouts::kUnknown;
    sighting.detail = status.error().message;
  }
  return sighting;
}

}  // namespace

std::vector<Sighting> follow_targets(const std::vector<Followed>& all, const ServiceConfigs& services) {
  std::vector<Sighting> sightings;
  sightings.reserve(all.size());
  const auto processes = list_user_processes();
  for (const Followed& followed : all) {
    sightings.push_back(processes ? follow_one(followed, services, *processes)
                                  : Sighting{followed.id, Whereabouts::kUnknown, processes.error().message});
  }
  return sightings;
}

}  // namespace chaos
