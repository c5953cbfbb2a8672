#include "telemetry/packed_series.h"

#include <utility>

namespace chaos {
namespace {

// A number begins an item. Even: half of it, plus 1, rounds of the same step. Odd: an absence, whose length follows;
// one round whose step differs by the zigzag number that follows; or one round whose step differs by the zigzag number
// that is in it. The step before the second value counts as 0.
constexpr std::uint64_t kAbsence = 1;
constexpr std::uint64_t kFarStep = 3;
constexpr std::uint64_t kNearStep = 5;  // and all odd numbers from here: a zigzag number, which is never 0, less 1

std::uint64_t zigzag(std::uint64_t difference) {
  return difference << 1 ^ (static_cast<std::int64_t>(difference) < 0 ? ~0ULL : 0ULL);
}
std::uint64_t unzigzag(std::uint64_t number) { return number >> 1 ^ (0 - (number & 1)); }

std::optional<std::uint64_t> take_number(std::span<const std::uint8_t>& bytes) {
  constexpr unsigned kLast = 63;
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift <= kLast && !bytes.empty(); shift += 7) {
    const std::uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    number |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return number;
  }
  return std::nullopt;
}

}  // namespace

void SeriesPacker::put(std::vector<std::uint8_t>& bytes, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) bytes.push_back(static_cast<std::uint8_t>(number | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(number));
}

void SeriesPacker::put_run(std::vector<std::uint8_t>& bytes, Run kind, std::uint64_t length) {
  if (kind == Run::kEven && length > 0) put(bytes, (length - 1) << 1);
  if (kind == Run::kAbsent && length > 0) {
    put(bytes, kAbsence);
    put(bytes, length);
  }
}

void SeriesPacker::end_run() {
  put_run(bytes_, kind_, run_);
  kind_ = Run::kNone;
  run_ = 0;
}

void SeriesPacker::add(std::optional<std::int64_t> value) {
  const std::uint64_t now = value ? static_cast<std::uint64_t>(*value) : 0;
  const std::uint64_t bend = now - last_ - step_;
  const Run wanted = !value ? Run::kAbsent : bend == 0 ? Run::kEven : Run::kNone;
  if (wanted != kind_) end_run();
  if (value) {
    step_ = begun_ ? now - last_ : 0;
    last_ = now;
    begun_ = true;
  }
  kind_ = wanted;
  if (wanted != Run::kNone) {
    ++run_;
    return;
  }
  const std::uint64_t number = zigzag(bend);
  if (number >> 62 == 0) return put(bytes_, kNearStep + ((number - 1) << 1));
  put(bytes_, kFarStep);
  put(bytes_, number);
}

std::vector<std::uint8_t> SeriesPacker::finish() const {
  std::vector<std::uint8_t> bytes = bytes_;
  put_run(bytes, kind_, run_);
  bytes.shrink_to_fit();
  return bytes;
}

void SeriesPacker::clear() {
  bytes_.clear();
  kind_ = Run::kNone;
  run_ = last_ = step_ = 0;
  begun_ = false;
}

bool unpack_series(std::span<const std::uint8_t> bytes, const std::function<void(std::optional<std::int64_t>)>& take) {
  std::uint64_t last = 0;
  std::uint64_t step = 0;
  bool begun = false;
  const auto move_on = [&] {
    last += step;
    if (!std::exchange(begun, true)) step = 0;
    take(static_cast<std::int64_t>(last));
  };
  constexpr std::uint64_t kLongest = 1 << 24;  // beyond any block
  while (!bytes.empty()) {
    const auto item = take_number(bytes);
    if (!item) return false;
    if (*item % 2 == 0) {
      if (*item / 2 >= kLongest) return false;
      for (std::uint64_t i = 0; i <= *item / 2; ++i) move_on();
    } else if (*item == kAbsence) {
      const auto length = take_number(bytes);
      if (!length || *length > kLongest) return false;
      for (std::uint64_t i = 0; i < *length; ++i) take(std::nullopt);
    } else if (*item == kFarStep) {
      const auto number = take_number(bytes);
      if (!number) return false;
      step += unzigzag(*number);
      move_on();
    } else {
      step += unzigzag(((*item - kNearStep) >> 1) + 1);
      move_on();
    }
  }
  return true;
}

}  // namespace chaos
