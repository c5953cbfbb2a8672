#include "fault/disk_throttle.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>

#include "fault/cgroup_files.h"
#include "kernel/controlled_cgroups.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr Controller kIo{"blkio", "io.max"};

/// The two limits, by what names them.
struct Way {
  std::string_view v2_name;
  std::string_view v1_file;
};
constexpr std::array kWays{Way{"rbps", "blkio.throttle.read_bps_device"},
                           Way{"wbps", "blkio.throttle.write_bps_device"}};

/// v1 reads "0" where there is none.
std::uint64_t limit_of(const std::string& value) {
  if (value == "max" || value == "0") return UINT64_MAX;
  return parse_unsigned(value).value_or(UINT64_MAX);
}

Result<std::vector<ValuePlace>> limits_of(const ProcessReach& reach, const BlockDevice& disk) {
  const auto found = controlled_cgroups(kIo, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<ValuePlace> places;
  for (const fs::path& directory : found->directories) {
    for (const Way& way : kWays) {
      places.push_back({(directory / (found->v2 ? kIo.v2_file : way.v1_file)).string(),
                        found->v2 ? fmt::format("{} {}", disk.numbers, way.v2_name) : disk.numbers});
    }
  }
  return places;
}

Result<std::string> bounded_value(const ValuePlace& place, std::uint64_t rate) {
  const auto text = text_in(place.path);
  if (!text) return std::unexpected(text.error());
  const std::string before = value_in(*text, place);
  if (limit_of(before) > rate) return std::to_string(rate);
  return fail(Errc::kRefused, fmt::format("its limit is {} bytes a second already", before), "parameters.rate",
              "a limit below the one that there is", "choose a lower rate");
}

/// v2: a line "8:0 rbytes=1 wbytes=2 ..." of io.stat. v1: lines "8:0 Read 1".
std::uint64_t bytes_through(const fs::path& directory, const std::string& numbers) {
  std::uint64_t bytes = 0;
  for (const char* name : {"rbytes", "wbytes"}) {
    const std::string value = value_in(text_in(directory / "io.stat").value_or(""), {{}, numbers + " " + name});
    bytes += parse_unsigned(value).value_or(0);
  }
  for (const char* name : {"Read", "Write"}) {
    bytes += count_in(directory / "blkio.throttle.io_service_bytes", numbers + " " + name);
  }
  return bytes;
}

}  // namespace

CgroupValues::Meaning disk_throttle(const BlockDevice& disk, std::uint64_t bytes_per_second) {
  const auto measure = [numbers = disk.numbers,
                        since = std::make_shared<CountsSince>()](const std::set<fs::path>& directories) {
    std::uint64_t bytes = 0;
    for (const fs::path& directory : directories) {
      bytes += (*since)(directory.string(), bytes_through(directory, numbers));
    }
    return std::map<std::string, std::string>{{"passed", format_bytes(bytes)}};
  };
  return {.where = [disk](const ProcessReach& reach) { return limits_of(reach, disk); },
          .value = [bytes_per_second](const ValuePlace& place) { return bounded_value(place, bytes_per_second); },
          .measure = measure};
}

}  // namespace chaos
