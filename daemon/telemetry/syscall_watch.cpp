// The watch of system calls: how many of each, how they end, how long they take.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "kernel/log_linear.h"
#include "kernel/syscall_probes.h"
#include "telemetry/watch.h"

namespace chaos {
namespace {

using nlohmann::json;

constexpr std::uint32_t kNano = 1'000'000'000;

constexpr MetricSpec kCalls{
    "chaosd_syscalls_total", MetricType::kCounter, "", 1, "System calls that have returned while somebody watched.",
    {"scope", "syscall"}};
constexpr MetricSpec kErrors{"chaosd_syscall_errors_total",
                             MetricType::kCounter,
                             "",
                             1,
                             "Those of them that failed, injected by chaosd's faults or natural.",
                             {"scope", "syscall", "errno", "origin"}};
constexpr MetricSpec kSeconds{"chaosd_syscall_seconds_total",           MetricType::kCounter, "seconds", kNano,
                              "Time that they took, waiting included.", {"scope", "syscall"}};

json in_us(std::optional<std::uint64_t> ns) { return ns ? json(static_cast<double>(*ns) / 1000) : json(nullptr); }

json latency_json(const chaos_call_counts& counts) {
  const std::span<const BucketCount> buckets(counts.latency);
  json list = json::array();
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] > 0) list.push_back({{"le_ns", bucket_end(i)}, {"count", buckets[i]}});
  }
  return {{"mean_us", counts.calls > 0 ? in_us(counts.sum_ns / counts.calls) : json(nullptr)},
          {"p50_us", in_us(quantile(buckets, 0.5))},
          {"p90_us", in_us(quantile(buckets, 0.9))},
          {"p99_us", in_us(quantile(buckets, 0.99))},
          {"max_us", in_us(quantile(buckets, 1))},
          {"buckets", std::move(list)}};
}

json errors_json(std::uint64_t all, std::uint64_t injected) {
  return {{"natural", all - injected}, {"injected", injected}};
}

SyscallProbes::Whose whose(const WatchTarget& target) {
  return {.cgroups = target.cgroups.value_or(std::vector<Cgroup>()), .processes = target.processes};
}

class SyscallWatch : public Watch {
 public:
  explicit SyscallWatch(SyscallProbes probes) : probes_(std::move(probes)) {}

  Status follow(const WatchTarget& target) override { return probes_.follow(whose(target)); }

  [[nodiscard]] std::unique_ptr<Mark> mark() const override {
    return std::make_unique<Counts>(probes_.read().value_or(SyscallCounts{}), probes_.missed());
  }

  [[nodiscard]] json report(const Mark& since) const override {
    const auto& before = static_cast<const Counts&>(since);
    const auto now = probes_.read();
    json notes = json::array();
    if (!now) notes.push_back(now.error().message);
    const SyscallCounts counts = now ? difference(*now, before.counts) : SyscallCounts{};
    std::vector<std::pair<std::uint32_t, const chaos_call_counts*>> order;
    chaos_call_counts sum{};
    for (const auto& [number, one] : counts.calls) {
      sum.calls += one.calls;
      sum.errors += one.errors;
      sum.injected += one.injected;
      if (one.calls > 0) order.emplace_back(number, &one);
    }
    std::ranges::stable_sort(order, std::ranges::greater{}, [](const auto& entry) { return entry.second->calls; });
    json calls = json::array();
    for (const auto& [number, one] : order) calls.push_back(call_json(number, *one, counts));
    return {{"calls", sum.calls},
            {"errors", errors_json(sum.errors, sum.injected)},
            {"syscalls", std::move(calls)},
            {"missed", probes_.missed() - before.missed},
            {"notes", std::move(notes)}};
  }

  void set_series(Registry& registry, std::string_view scope) const override {
    const auto counts = probes_.read();
    if (!counts) return;
    for (const auto& [number, one] : counts->calls) {
      const std::string name = syscall_name(number);
      registry.set(kCalls, {scope, name}, static_cast<std::int64_t>(one.calls));
      registry.set(kSeconds, {scope, name}, static_cast<std::int64_t>(one.sum_ns));
    }
    for (const auto& [what, error] : counts->errors) {
      const std::string name = syscall_name(what.first);
      const std::string code = errno_name(what.second);
      if (error.natural > 0) {
        registry.set(kErrors, {scope, name, code, "natural"}, static_cast<std::int64_t>(error.natural));
      }
      if (error.injected > 0) {
        registry.set(kErrors, {scope, name, code, "injected"}, static_cast<std::int64_t>(error.injected));
      }
    }
  }

  void add_objects(WatchObjects& objects) const override {
    for (const std::uint32_t id : probes_.map_ids()) objects.maps.insert(id);
    for (const std::uint32_t id : probes_.program_ids()) objects.programs.insert(id);
    for (const std::uint32_t id : probes_.link_ids()) objects.links.insert(id);
  }

 private:
  struct Counts : Mark {
    Counts(SyscallCounts at, std::uint64_t not_told) : counts(std::move(at)), missed(not_told) {}
    SyscallCounts counts;
    std::uint64_t missed;
  };

  static json call_json(std::uint32_t number, const chaos_call_counts& one, const SyscallCounts& counts) {
    json errnos = json::array();
    for (auto it = counts.errors.lower_bound({number, 0}); it != counts.errors.end() && it->first.first == number;
         ++it) {
      if (it->second.natural + it->second.injected == 0) continue;
      errnos.push_back({{"errno", errno_name(it->first.second)},
                        {"natural", it->second.natural},
                        {"injected", it->second.injected}});
    }
    return {{"name", syscall_name(number)},
            {"calls", one.calls},
            {"errors", errors_json(one.errors, one.injected)},
            {"errnos", std::move(errnos)},
            {"latency", latency_json(one)}};
  }

  SyscallProbes probes_;
};

}  // namespace

Result<std::unique_ptr<Watch>> attach_syscall_watch(const ProbeIdentity& identity, const WatchTarget& target) {
  auto probes = SyscallProbes::attach(identity, whose(target));
  if (!probes) return std::unexpected(probes.error());
  return std::make_unique<SyscallWatch>(std::move(*probes));
}

}  // namespace chaos
