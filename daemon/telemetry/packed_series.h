// PackedSeries: the values of one series over a block of rounds, in few bytes: the difference of each difference to the
// one before as a variable-length number, equal ones and absences as runs. A counter that grows evenly, or not at all,
// costs nothing per round. Values only; one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace chaos {

/// Writes one block's worth, round by round.
class SeriesPacker {
 public:
  /// nullopt: the series was absent in this round.
  void add(std::optional<std::int64_t> value);
  /// The bytes so far, complete; more may be added afterwards only after clear().
  [[nodiscard]] std::vector<std::uint8_t> finish() const;
  void clear();
  [[nodiscard]] bool empty() const { return bytes_.empty() && run_ == 0; }
  [[nodiscard]] std::size_t memory() const { return bytes_.capacity(); }

 private:
  enum class Run : std::uint8_t { kNone, kEven, kAbsent };
  static void put(std::vector<std::uint8_t>& bytes, std::uint64_t number);
  static void put_run(std::vector<std::uint8_t>& bytes, Run kind, std::uint64_t length);
  void end_run();

  std::vector<std::uint8_t> bytes_;
  Run kind_ = Run::kNone;
  std::uint64_t run_ = 0;
  std::uint64_t last_ = 0;  ///< all arithmetic is modulo 2^64
  std::uint64_t step_ = 0;
  bool begun_ = false;
};

/// Calls `take` for each round in order, with nullopt where the series was absent. False if the bytes are damaged.
bool unpack_series(std::span<const std::uint8_t> bytes, const std::function<void(std::optional<std::int64_t>)>& take);

}  // namespace chaos
