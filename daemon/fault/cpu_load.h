// resource_exhaustion, cpu load: CPUs kept busy by workers, of the host or inside a target's cgroup.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fault/load_workers.h"

namespace chaos {

extern const LoadMeans kCpuLoad;

/// "0-2,5": each once, ascending, and all of them of `online`, which is written likewise. Error: kInvalid, field
/// `parameters.cpus`.
[[nodiscard]] Result<std::vector<unsigned>> parse_cpus(std::string_view list, std::string_view online);

/// How many of so many CPUs' time a cgroup may use: the least of its own limit and those above it (cpu.max of v2, its
/// cfs_quota of v1). Reads files; any thread.
[[nodiscard]] double allowed_cpus(bool v2, const std::filesystem::path& directory, std::size_t cpus);

}  // namespace chaos
