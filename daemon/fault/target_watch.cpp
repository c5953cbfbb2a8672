#include "fault/target_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kPeriod{250};
constexpr std::chrono::seconds kProtectionAge{10};
/// A target that is known by name may be away for this long: a restart, a failed start and another try.
constexpr std::chrono::seconds kComeBackWithin{10};
/// A look takes no more than this part of a core, as long as the looks do not come too far apart by that.
constexpr int kFollowShare = 20;
constexpr std::chrono::seconds kFollowWithin{5};

}  // namespace

TargetWatch::TargetWatch(EventLoop& loop, Worker& worker, Injector& injector, Reports reports)
    : loop_(loop),
      worker_(worker),
      injector_(injector),
      reports_(std::move(reports)),
      services_(std::make_shared<const ServiceConfigs>()) {}

void TargetWatch::add(Followed scenario, bool follow) {
  const std::string id = scenario.id;
  entries_[id] = {.followed = std::move(scenario), .follow = follow, .away_since = {}};
  look();
}

void TargetWatch::look() {
  look_at_interfaces();
  if (entries_.empty()) {
    timer_.reset();
    return;
  }
  follow();
  worker_.post([this] {
    if (Status status = injector_.refresh_protection(kProtectionAge); !status) {
      spdlog::error("protected traffic may be out of date: {}", status.error().message);
    }
  });
  if (timer_) return timer_->rearm(kPeriod);
  if (auto timer = loop_.add_timer(kPeriod, [this] { look(); })) {
    timer_ = std::move(*timer);
  } else {
    spdlog::error("cannot watch targets: {}", timer.error().message);
  }
}

void TargetWatch::look_at_interfaces() {
  // The reports change the map.
  std::vector<std::pair<std::string, Fault::TargetState>> states;
  states.reserve(entries_.size());
  for (const auto& [id, entry] : entries_) states.emplace_back(id, entry.followed.fault->target_state());
  for (const auto& [id, state] : states) {
    for (const std::string& remark : state.remarks) reports_.warn(id, remark);
    if (!state.failure.empty()) {
      reports_.failed(id, state.failure);
      continue;
    }
    if (state.gone) reports_.gone(id, "all that it was aimed at has been removed");
  }
}

void TargetWatch::follow() {
  if (following_ || std::chrono::steady_clock::now() < follow_after_) return;
  std::vector<Followed> all;
  for (const auto& [id, entry] : entries_) {
    if (entry.follow) all.push_back(entry.followed);
  }
  if (all.empty()) return;
  following_ = true;
  worker_.post([this, all = std::move(all), services = services_] {
    const auto began = std::chrono::steady_clock::now();
    auto sightings = follow_targets(all, *services);
    const auto took = std::chrono::steady_clock::now() - began;
    loop_.post([this, sightings = std::move(sightings), took] { looked(sightings, took); });
  });
}

void TargetWatch::looked(const std::vector<Sighting>& sightings, std::chrono::steady_clock::duration took) {
  following_ = false;
  const auto pause = std::min<std::chrono::steady_clock::duration>(kFollowShare * took, kFollowWithin);
  follow_after_ = std::chrono::steady_clock::now() + pause;
  for (const Sighting& sighting : sightings) seen(sighting);
}

void TargetWatch::seen(const Sighting& sighting) {
  const auto found = entries_.find(sighting.id);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  const bool lost = sighting.where == Whereabouts::kAway || sighting.where == Whereabouts::kGone;
  if (lost && !entry.followed.fault->ends_with_target()) return;
  const auto now = std::chrono::steady_clock::now();
  switch (sighting.where) {
    case Whereabouts::kThere:
      entry.away_since.reset();
      return;
    case Whereabouts::kAway:
      if (!entry.away_since) entry.away_since = now;
      reports_.warn(sighting.id, "was away for a while: " + sighting.detail);
      if (now - *entry.away_since < kComeBackWithin) return;
      break;
    case Whereabouts::kGone:
      break;
    case Whereabouts::kUnknown:
      reports_.warn(sighting.id, "could not be followed: " + sighting.detail);
      return;
  }
  reports_.gone(sighting.id, sighting.detail);
}

}  // namespace chaos
