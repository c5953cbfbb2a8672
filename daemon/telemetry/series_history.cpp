#include "telemetry/series_history.h"

#include <algorithm>

namespace chaos {

std::size_t SeriesHistory::Block::memory() const {
  return sizeof(Block) + times_ms.capacity() * sizeof(times_ms[0]) + ends.capacity() * sizeof(ends[0]) +
         bytes.capacity();
}

void SeriesHistory::add(WallTime time, const Registry& registry) {
  std::int64_t now_ms = time.time_since_epoch().count();
  if (!open_.times_ms.empty()) now_ms = std::max(now_ms, open_.times_ms.back());
  if (open_.times_ms.empty()) open_.first_round = registry.round();
  const auto& series = registry.series();
  while (packers_.size() < series.size()) {
    // It was not there in the rounds before.
    SeriesPacker& fresh = packers_.emplace_back();
    for (std::size_t i = 0; i < open_.times_ms.size(); ++i) fresh.add(std::nullopt);
  }
  for (std::size_t place = 0; place < series.size(); ++place) {
    packers_[place].add(registry.present(series[place]) ? std::optional(series[place].value) : std::nullopt);
  }
  open_.times_ms.push_back(now_ms);
  if (open_.times_ms.size() >= limits_.rounds) close_block();
  drop_old(now_ms);
}

void SeriesHistory::close_block() {
  for (SeriesPacker& packer : packers_) {
    const auto bytes = packer.finish();
    open_.bytes.insert(open_.bytes.end(), bytes.begin(), bytes.end());
    open_.ends.push_back(static_cast<std::uint32_t>(open_.bytes.size()));
    packer.clear();
  }
  open_.times_ms.shrink_to_fit();
  open_.ends.shrink_to_fit();
  open_.bytes.shrink_to_fit();
  closed_bytes_ += open_.memory();
  closed_.push_back(std::move(open_));
  open_ = {};
}

void SeriesHistory::drop_old(std::int64_t now_ms) {
  const std::int64_t oldest = now_ms - std::chrono::duration_cast<std::chrono::milliseconds>(limits_.span).count();
  while (!closed_.empty() && (closed_.front().times_ms.back() < oldest || closed_bytes_ > limits_.bytes)) {
    closed_bytes_ -= closed_.front().memory();
    closed_.pop_front();
  }
}

void SeriesHistory::unpack(const Block& block, std::span<const std::uint8_t> bytes, std::int64_t from_ms,
                           std::int64_t to_ms, std::vector<Point>& points) {
  std::size_t round = 0;
  (void)unpack_series(bytes, [&](std::optional<std::int64_t> value) {
    if (round >= block.times_ms.size()) return;
    const std::int64_t time_ms = block.times_ms[round++];
    if (value && time_ms >= from_ms && time_ms <= to_ms) points.push_back({time_ms, *value});
  });
}

std::vector<Point> SeriesHistory::points(Registry::Id id, std::int64_t from_ms, std::int64_t to_ms) const {
  std::vector<Point> found;
  for (const Block& block : closed_) {
    if (id >= block.ends.size() || block.times_ms.back() < from_ms || block.times_ms.front() > to_ms) continue;
    const std::size_t begin = id == 0 ? 0 : block.ends[id - 1];
    unpack(block, std::span(block.bytes).subspan(begin, block.ends[id] - begin), from_ms, to_ms, found);
  }
  if (id < packers_.size()) unpack(open_, packers_[id].finish(), from_ms, to_ms, found);
  return found;
}

std::uint64_t SeriesHistory::oldest_round() const {
  return closed_.empty() ? open_.first_round : closed_.front().first_round;
}

std::int64_t SeriesHistory::oldest_ms() const {
  if (!closed_.empty()) return closed_.front().times_ms.front();
  return open_.times_ms.empty() ? 0 : open_.times_ms.front();
}

std::size_t SeriesHistory::memory() const {
  std::size_t bytes = closed_bytes_ + open_.memory() + packers_.capacity() * sizeof(SeriesPacker);
  for (const SeriesPacker& packer : packers_) bytes += packer.memory();
  return bytes;
}

std::size_t SeriesHistory::rounds() const {
  std::size_t count = open_.times_ms.size();
  for (const Block& block : closed_) count += block.times_ms.size();
  return count;
}

}  // namespace chaos
