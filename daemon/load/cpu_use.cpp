#include "load/cpu_use.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "base/clock.h"
#include "base/units.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

/// The number in a line "NAME NUMBER"; without a name the text is one.
Result<std::uint64_t> number_in(std::string_view text, std::string_view name) {
  std::size_t at = name.empty() ? 0 : text.find(std::string(name) + " ");
  if (at == std::string_view::npos) return fail(Errc::kInternal, fmt::format("no {} is told", name));
  if (!name.empty()) at += name.size() + 1;
  return parse_unsigned(text.substr(at, text.find('\n', at) - at));
}

}  // namespace

Result<CpuTime> cpu_time_in(std::string_view stat, unsigned cpu) {
  const std::string label = fmt::format("\ncpu{} ", cpu);
  std::size_t at = stat.find(label);
  if (at == std::string_view::npos) return fail(Errc::kInternal, fmt::format("there is no CPU {}", cpu));
  at += label.size();
  std::array<std::uint64_t, 8> ticks{};  // user nice system idle iowait irq softirq steal; guests are in user
  for (std::uint64_t& tick : ticks) {
    const std::size_t end = stat.find_first_of(" \n", at);
    const auto value = parse_unsigned(stat.substr(at, end - at));
    if (!value) return std::unexpected(value.error());
    tick = *value;
    at = end + 1;
  }
  std::uint64_t all = 0;
  for (const std::uint64_t tick : ticks) all += tick;
  const std::int64_t tick_ns = 1'000'000'000 / ::sysconf(_SC_CLK_TCK);
  return CpuTime{.used = nanoseconds(static_cast<std::int64_t>(all - ticks[3] - ticks[4]) * tick_ns),
                 .passed = nanoseconds(static_cast<std::int64_t>(all) * tick_ns)};
}

CpuUse CpuUse::of_cpus(std::vector<unsigned> cpus, std::filesystem::path proc) {
  CpuUse use;
  use.cpus_ = std::move(cpus);
  proc /= "stat";
  use.file_ = std::move(proc);
  return use;
}

CpuUse CpuUse::of_cgroup(std::filesystem::path file) {
  CpuUse use;
  use.file_ = std::move(file);
  return use;
}

Result<std::vector<CpuTime>> CpuUse::read() const {
  const auto text = proc::read_file(file_);
  if (!text) return std::unexpected(text.error());
  std::vector<CpuTime> times;
  for (const unsigned cpu : cpus_) {
    const auto time = cpu_time_in(*text, cpu);
    if (!time) return with_context(file_.string(), time.error());
    times.push_back(*time);
  }
  if (!cpus_.empty()) return times;
  const bool v2 = file_.filename() == "cpu.stat";
  const auto used = number_in(*text, v2 ? "usage_usec" : "");
  if (!used) return with_context(file_.string(), used.error());
  times.push_back(
      {.used = nanoseconds(static_cast<std::int64_t>(*used) * (v2 ? 1000 : 1)), .passed = system_clock().monotonic()});
  return times;
}

}  // namespace chaos
