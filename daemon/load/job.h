// LoadJob: what a load worker does, once it is told to begin: keeps CPUs busy, holds memory, fills a file system,
// writes. Everything that it takes ends with its process; there is nothing that it would have to take back.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

/// Name → value, as on the worker's command line.
using JobArguments = std::map<std::string, std::string, std::less<>>;

class LoadJob {
 public:
  virtual ~LoadJob() = default;
  /// Acts from here on. On the worker's main thread, as all of these; never blocks for longer than a step takes.
  virtual void begin() = 0;
  /// One step of what it does on that thread; again after the time that it returns.
  virtual std::chrono::nanoseconds step() = 0;
  /// What is measured, by name.
  [[nodiscard]] virtual std::map<std::string, std::string> figures() = 0;
  /// A sentence that its owner should know; empty: none.
  [[nodiscard]] virtual std::string remark() const { return {}; }
};

/// Names of jobs: argument `job`.
inline constexpr std::string_view kCpuJob = "cpu";
inline constexpr std::string_view kMemoryJob = "memory";
inline constexpr std::string_view kFillJob = "fill";
inline constexpr std::string_view kWriteJob = "write";

/// Everything is in place when it returns, and nothing acts. Errors: what is missing here (kUnsupported, kRefused with
/// the field at fault), kInternal.
[[nodiscard]] Result<std::unique_ptr<LoadJob>> make_load_job(const JobArguments& arguments);
[[nodiscard]] Result<std::unique_ptr<LoadJob>> make_cpu_job(const JobArguments& arguments);
[[nodiscard]] Result<std::unique_ptr<LoadJob>> make_memory_job(const JobArguments& arguments);
[[nodiscard]] Result<std::unique_ptr<LoadJob>> make_fill_job(const JobArguments& arguments);
[[nodiscard]] Result<std::unique_ptr<LoadJob>> make_write_job(const JobArguments& arguments);

/// "" if it is not there.
[[nodiscard]] std::string argument(const JobArguments& arguments, std::string_view name);
/// A number; `otherwise` if it is not there. Error: kInternal (chaosd writes them).
[[nodiscard]] Result<double> number(const JobArguments& arguments, std::string_view name, double otherwise);

/// "49.8%"
[[nodiscard]] std::string format_percent(double share);
/// "9.98 MiB"
[[nodiscard]] std::string format_size(double bytes);

}  // namespace chaos
