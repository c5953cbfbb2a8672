// Holds memory so that a share of a pool (the host's, a cgroup's) is in use, by whomever: more while others use less,
// less while they use more. Never so much that less than the floor is left in the pool or in one that it lies in.
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "base/clock.h"
#include "kernel/proc_tree.h"
#include "load/job.h"
#include "load/memory_pool.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

/// What is taken between two looks at the pools: a few huge pages, which are had and given back fastest.
constexpr std::size_t kChunk = 8UL << 20;
/// The last step towards the level is smaller.
constexpr std::size_t kSmallChunk = 1UL << 20;
constexpr nanoseconds kWhileHolding = 20ms;

/// Memory that is really there: each page is written to, with contents that no other page has, so that it is neither
/// the kernel's page of zeros nor shared by KSM; and locked, so that it is not in the swap instead.
class Chunk {
 public:
  static Result<Chunk> take(std::size_t bytes, std::minstd_rand& random) {
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return fail_errno("take memory");
    Chunk chunk(memory, bytes);
    ::madvise(memory, bytes, MADV_HUGEPAGE);
    ::madvise(memory, bytes, MADV_UNMERGEABLE);
    ::madvise(memory, bytes, MADV_DONTDUMP);
    // Without the privilege it is not locked; what is swapped then is told (figures).
    (void)::mlock2(memory, bytes, MLOCK_ONFAULT);
    static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    for (std::size_t at = 0; at < bytes; at += page) {
      auto* const word = reinterpret_cast<volatile std::uint64_t*>(static_cast<char*>(memory) + at);
      word[0] = reinterpret_cast<std::uintptr_t>(word);
      word[1] = (static_cast<std::uint64_t>(random()) << 32) | random();
    }
    return chunk;
  }
  Chunk(Chunk&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
  Chunk& operator=(Chunk&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;
  ~Chunk() {
    if (memory_ != nullptr) ::munmap(memory_, bytes_);
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  Chunk(void* memory, std::size_t bytes) : memory_(memory), bytes_(bytes) {}
  void* memory_;
  std::size_t bytes_;
};

class MemoryJob final : public LoadJob {
 public:
  MemoryJob(std::vector<MemoryPool> pools, double level, double floor, double rate)
      : pools_(std::move(pools)), level_(level), floor_(floor), rate_(rate) {}

  Status look() {
    std::vector<MemoryState> states;
    for (const MemoryPool& pool : pools_) {
      const auto state = pool.read();
      if (!state) return std::unexpected(state.error());
      states.push_back(*state);
    }
    states_ = std::move(states);
    return {};
  }

  void begin() override { next_ = system_clock().monotonic(); }

  nanoseconds step() override {
    if (Status status = look(); !status) {
      // Nobody knows what is left: nothing is held.
      remark_ = status.error().message;
      chunks_.clear();
      held_ = 0;
      return 1s;
    }
    const double wanted = missing();
    if (wanted <= -static_cast<double>(kSmallChunk)) {
      give(-wanted);
      return 0ns;
    }
    const std::size_t bytes = wanted >= static_cast<double>(kChunk) ? kChunk : kSmallChunk;
    if (wanted < static_cast<double>(bytes)) return kWhileHolding;
    const nanoseconds now = system_clock().monotonic();
    if (next_ > now) return std::min(next_ - now, kWhileHolding);
    if (!take(bytes)) return 1s;
    // What could not be had in time is not made good by a burst.
    if (rate_ > 0) next_ = std::max(next_, now - time_for(kChunk)) + time_for(bytes);
    return 0ns;
  }

  std::map<std::string, std::string> figures() override {
    if (states_.empty()) return {};
    std::map<std::string, std::string> all{{"level", format_percent(states_.front().used_share())},
                                           {"held", format_size(static_cast<double>(held_))},
                                           {"left", format_size(least_left())}};
    if (const double swapped = swapped_bytes(); swapped > 0) all["swapped"] = format_size(swapped);
    return all;
  }
  std::string remark() const override { return remark_; }

 private:
  /// How many bytes more (or less) it should hold.
  double missing() {
    const double wanted = states_.front().available - (1 - level_) * states_.front().whole;
    double allowed = wanted;
    for (const MemoryState& state : states_) allowed = std::min(allowed, state.available - floor_ * state.whole);
    constexpr double kNoticeable = 0.01;
    if (wanted - allowed > kNoticeable * states_.front().whole) {
      remark_ = "the floor of free memory keeps it below its level: others use more";
    }
    return allowed;
  }

  bool take(std::size_t bytes) {
    auto chunk = Chunk::take(bytes, random_);
    if (!chunk) {
      remark_ = chunk.error().message;
      return false;
    }
    chunks_.push_back(std::move(*chunk));
    held_ += bytes;
    return true;
  }
  void give(double bytes) {
    while (bytes > 0 && !chunks_.empty()) {
      bytes -= static_cast<double>(chunks_.back().bytes());
      held_ -= chunks_.back().bytes();
      chunks_.pop_back();
    }
  }
  [[nodiscard]] nanoseconds time_for(std::size_t bytes) const {
    return nanoseconds(static_cast<std::int64_t>(1e9 * static_cast<double>(bytes) / rate_));
  }
  [[nodiscard]] double least_left() const {
    return std::ranges::min_element(states_, {}, &MemoryState::available)->available;
  }
  static double swapped_bytes() {
    const std::string status = proc::read_record("/proc/self/status").value_or("");
    const std::size_t at = status.find("VmSwap:");
    return at == std::string::npos ? 0 : 1024 * std::strtod(status.c_str() + at + 7, nullptr);
  }

  const std::vector<MemoryPool> pools_;  ///< the first is the one that the level is of
  const double level_;
  const double floor_;
  const double rate_;  ///< bytes a second; 0: as fast as it goes
  std::vector<MemoryState> states_;
  std::vector<Chunk> chunks_;
  std::size_t held_ = 0;
  nanoseconds next_{0};  ///< by the rate, not before
  std::minstd_rand random_{std::random_device()()};
  std::string remark_;
};

}  // namespace

Result<std::unique_ptr<LoadJob>> make_memory_job(const JobArguments& arguments) {
  const auto level = number(arguments, "level", 0);
  const auto floor = number(arguments, "floor", 0);
  const auto rate = number(arguments, "rate", 0);
  const auto pool = MemoryPool::parse(argument(arguments, "pool"));
  for (const auto* value : {&level, &floor, &rate}) {
    if (!*value) return std::unexpected(value->error());
  }
  if (!pool) return std::unexpected(pool.error());
  auto job = std::make_unique<MemoryJob>(MemoryPool::around(*pool), *level, *floor, *rate);
  if (Status status = job->look(); !status) return std::unexpected(status.error());
  return job;
}

}  // namespace chaos
