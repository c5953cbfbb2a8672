#include "telemetry/history_block.h"

#include <algorithm>

namespace chaos {
namespace {

std::size_t place_of(const HistoryBlock& block, const EndedStep& step) {
  return static_cast<std::size_t>((step.end_ms - block.first_end_ms) / block.step_ms);
}

}  // namespace

HistoryBlock HistoryBlock::beginning_with(const EndedStep& step) {
  HistoryBlock block;
  block.step_ms = step.step_ms;
  block.first_end_ms = step.end_ms;
  block.first_ms = step.first_ms;
  block.add(step);
  return block;
}

bool HistoryBlock::takes(const EndedStep& step) const {
  if (step.step_ms != step_ms || step.end_ms <= first_end_ms || step.first_ms < last_ms) return false;
  const std::size_t place = place_of(*this, step);
  return place >= steps && place < kSteps;
}

void HistoryBlock::add(const EndedStep& step) {
  const std::size_t place = place_of(*this, step);
  for (const EndedStep::Entry& entry : step.entries) {
    Column& column =
        columns.try_emplace(entry.name.get(), Column{entry.name, AggregatePacker(entry.name->type)}).first->second;
    // It was not there in the steps before.
    while (column.steps.steps() < place) column.steps.add({});
    column.steps.add(entry.aggregate);
  }
  steps = place + 1;
  last_ms = step.last_ms;
}

void HistoryBlock::forget_rows() {
  id = 0;
  written = 0;
  for (auto& [name, column] : columns) column.row = 0;
}

std::size_t HistoryBlock::memory() const {
  std::size_t bytes = sizeof(*this);
  for (const auto& [name, column] : columns) bytes += sizeof(Column) + column.steps.memory();
  return bytes;
}

bool unpack_column(const HistoryBlock& block, std::span<const std::uint8_t> bytes, MetricType type,
                   std::int64_t from_ms, std::int64_t to_ms, std::vector<HistoryStep>& steps) {
  auto aggregates = unpack_aggregates(bytes, type);
  if (!aggregates || aggregates->size() > HistoryBlock::kSteps) return false;
  std::int64_t end_ms = block.first_end_ms;
  for (Aggregate& aggregate : *aggregates) {
    aggregate.time_ms = std::min(end_ms, block.last_ms);
    const std::int64_t after_ms = std::max(end_ms - block.step_ms, block.first_ms - 1);
    end_ms += block.step_ms;
    if (aggregate.count == 0 || aggregate.time_ms <= from_ms || aggregate.time_ms > to_ms) continue;
    steps.push_back({aggregate, after_ms});
  }
  return true;
}

}  // namespace chaos
