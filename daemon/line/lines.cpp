#include "line/lines.h"

#include <algorithm>
#include <ctime>
#include <random>

#include "base/instance.h"

namespace chaos {
namespace {

/// Any number whose last 12 bits are clear and the rest is not.
std::uint32_t new_secret() {
  std::random_device device;
  std::uint32_t secret = 0;
  while (secret == 0) secret = device() & ~(CHAOS_LINE_MARKS - 1U);
  return secret;
}

}  // namespace

Lines::Lines(const SharedMaps& maps, std::string tag, bool classic)
    : maps_(maps), tag_(std::move(tag)), classic_(classic) {
  maps_.control().line_secret = new_secret();
}

void Lines::prepare(unsigned fault, std::shared_ptr<LineFault> what) {
  const std::scoped_lock lock(mutex_);
  faults_[fault] = std::move(what);
}

bool Lines::holds(unsigned fault) const { return figures(fault) != nullptr; }

std::shared_ptr<const LineFault> Lines::figures(unsigned fault) const {
  const std::scoped_lock lock(mutex_);
  return faults_[fault];
}

Result<Lines::Place> Lines::join(unsigned fault, const Netns& netns) {
  const auto place_of = [](const DelayLine& line) {
    return Place{static_cast<std::uint16_t>(line.number()), line.ifindex()};
  };
  const auto found = lines_.find(netns.inode());
  if (found != lines_.end()) {
    if (found->second.faults.insert(fault).second) found->second.line->add(fault, faults_[fault]);
    return place_of(*found->second.line);
  }
  unsigned number = 0;
  const auto taken = [&](unsigned candidate) {
    return std::ranges::any_of(lines_, [&](const auto& entry) { return entry.second.line->number() == candidate; });
  };
  while (taken(number)) ++number;
  if (number >= CHAOS_MAX_LINES) {
    return fail(Errc::kRefused,
                "packets are held in " + std::to_string(CHAOS_MAX_LINES) + " network namespaces already", "target",
                "at most " + std::to_string(CHAOS_MAX_LINES) + " of them", "stop a scenario first");
  }
  auto line = DelayLine::create({.maps = maps_,
                                 .memory = memory_,
                                 .name = device_name_prefix_of_tag(tag_) + std::to_string(number),
                                 .number = number,
                                 .classic = classic_},
                                netns);
  if (!line) return std::unexpected(line.error());
  (*line)->add(fault, faults_[fault]);
  const Place place = place_of(**line);
  const std::scoped_lock lock(mutex_);
  lines_[netns.inode()] = {.line = std::move(*line), .faults = {fault}};
  return place;
}

void Lines::start(unsigned fault) {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  if (faults_[fault]) faults_[fault]->started_ns = now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void Lines::end(unsigned fault, bool discard) {
  for (const auto& [netns, entry] : lines_) {
    if (entry.faults.contains(fault)) entry.line->end(fault, discard);
  }
}

std::vector<std::uint64_t> Lines::leave(unsigned fault) {
  std::vector<std::uint64_t> left;
  std::vector<Entry> ended;
  {
    const std::scoped_lock lock(mutex_);
    for (auto it = lines_.begin(); it != lines_.end();) {
      it->second.faults.erase(fault);
      if (!it->second.faults.empty()) {
        ++it;
        continue;
      }
      left.push_back(it->first);
      ended.push_back(std::move(it->second));
      it = lines_.erase(it);
    }
    faults_[fault].reset();
  }
  return left;
}

Lines::Objects Lines::objects() const {
  Objects all;
  const std::scoped_lock lock(mutex_);
  for (const auto& [netns, entry] : lines_) {
    const LinePrograms& programs = entry.line->programs();
    std::ranges::copy(programs.link_ids(), std::back_inserter(all.links));
    std::ranges::copy(programs.program_ids(), std::back_inserter(all.programs));
    std::ranges::copy(programs.map_ids(), std::back_inserter(all.maps));
    all.devices.push_back(entry.line->device());
  }
  return all;
}

}  // namespace chaos
