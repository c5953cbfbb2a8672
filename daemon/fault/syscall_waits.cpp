#include "fault/syscall_waits.h"

#include <atomic>
#include <thread>

#include "fault/held_packets.h"
#include "kernel/bpf_compat.h"
#include "line/histogram.h"

namespace chaos {
namespace {

constexpr std::chrono::milliseconds kFreePatience{1000};
/// Those who wait are let go by the server, or else by its end.
constexpr std::chrono::milliseconds kLetGoWithin{500};

std::uint64_t load(__u64& counter) { return std::atomic_ref(counter).load(std::memory_order_relaxed); }

std::string describe_times(__u64 (&buckets)[CHAOS_TIME_BUCKETS]) {
  static_assert(CHAOS_TIME_BUCKETS == Histogram::kBuckets && CHAOS_TIME_FINE_BITS == Histogram::kFineBits);
  const auto histogram = std::make_unique<Histogram>();
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i) histogram->add_to(i, load(buckets[i]));
  return describe(*histogram);
}

}  // namespace

Result<std::unique_ptr<SyscallWaits>> SyscallWaits::create(const SharedMaps& shared, const SyscallMaps& maps,
                                                           const LoadGround& ground, std::string_view tag,
                                                           const WaitOrder& order,
                                                           std::span<const MeantSyscall> calls) {
  auto own = WaitMaps::create(tag, order.limit);
  if (!own) return std::unexpected(own.error());
  std::unique_ptr<SyscallWaits> waits(new SyscallWaits(std::move(*own)));
  auto process = WaitProcess::start(ground, waits->maps_, order);
  if (!process) return std::unexpected(process.error());
  waits->process_ = std::move(*process);
  // Whoever serves the waits never waits.
  maps.rule().spared_processes[1] = static_cast<__u32>(waits->process_->server());
  maps.rule().spared_processes[2] = static_cast<__u32>(waits->process_->holder());
  chaos_waiting& all = waits->maps_.waiting();
  all.pages = waits->process_->address();
  all.holder = static_cast<__u32>(waits->process_->holder());
  auto programs = WaitPrograms::attach(shared, maps, waits->maps_, calls);
  if (!programs) return std::unexpected(programs.error());
  waits->programs_.emplace(std::move(*programs));
  return waits;
}

void SyscallWaits::release() {
  const std::scoped_lock lock(mutex_);
  if (process_) process_->release();
}

void SyscallWaits::remove() {
  const auto give_up = std::chrono::steady_clock::now() + kLetGoWithin;
  while (std::atomic_ref(maps_.waiting().waiting).load() != 0 && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::unique_ptr<WaitProcess> process;
  std::optional<WaitPrograms> programs;
  {
    const std::scoped_lock lock(mutex_);
    process = std::move(process_);
    programs = std::exchange(programs_, {});
  }
  // Its end ends what waits all the same; programs that somebody sleeps in cannot be taken away.
  process.reset();
  programs.reset();
}

std::string SyscallWaits::failure() const {
  const std::scoped_lock lock(mutex_);
  return !process_ || process_->alive() ? std::string()
                                        : "calls do not wait any more: the process that ends the waits is gone";
}

std::map<std::string, std::string> SyscallWaits::achieved() const {
  std::map<std::string, std::string> all{{"delay", describe_times(maps_.times().achieved)},
                                         {"delay_requested", describe_times(maps_.times().requested)},
                                         {"delay_error", describe_times(maps_.times().late)}};
  if (const std::uint64_t cut = load(maps_.waiting().cut); cut > 0) all["cut_short"] = std::to_string(cut);
  std::erase_if(all, [](const auto& entry) { return entry.second.empty(); });
  return all;
}

void SyscallWaits::add_objects(PacketEngine::Objects& objects) const {
  const std::scoped_lock lock(mutex_);
  for (const std::uint32_t id : maps_.ids()) objects.maps.insert(id);
  if (!programs_) return;
  objects.links.insert(programs_->link_ids().begin(), programs_->link_ids().end());
  objects.programs.insert(programs_->program_ids().begin(), programs_->program_ids().end());
}

}  // namespace chaos
