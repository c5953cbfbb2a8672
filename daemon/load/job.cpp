#include "load/job.h"

#include <fmt/format.h>

#include <charconv>

namespace chaos {

Result<std::unique_ptr<LoadJob>> make_load_job(const JobArguments& arguments) {
  const std::string name = argument(arguments, "job");
  if (name == kCpuJob) return make_cpu_job(arguments);
  if (name == kMemoryJob) return make_memory_job(arguments);
  if (name == kFillJob) return make_fill_job(arguments);
  if (name == kWriteJob) return make_write_job(arguments);
  return fail(Errc::kInternal, fmt::format("no job is called '{}'", name));
}

std::string argument(const JobArguments& arguments, std::string_view name) {
  const auto found = arguments.find(name);
  return found == arguments.end() ? std::string() : found->second;
}

Result<double> number(const JobArguments& arguments, std::string_view name, double otherwise) {
  const auto found = arguments.find(name);
  if (found == arguments.end()) return otherwise;
  double value = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [at, error] = std::from_chars(found->second.data(), end, value);
  if (error != std::errc() || at != end) {
    return fail(Errc::kInternal, fmt::format("{}={} is no number", name, found->second));
  }
  return value;
}

std::string format_percent(double share) { return fmt::format("{:.4g}%", 100 * share); }

std::string format_size(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{:.4g} {}", bytes, kUnits[unit]);
}

}  // namespace chaos
