#include "fault/freezer.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "fault/cgroup_files.h"
#include "kernel/controlled_cgroups.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

constexpr Controller kFreezer{"freezer", "cgroup.freeze"};
constexpr std::string_view kV1State = "freezer.state";  // cgroup-v1/freezer-subsystem.rst
constexpr std::string_view kV1Frozen = "FROZEN";

std::string_view frozen_value(const fs::path& file) { return file.filename() == kV1State ? kV1Frozen : "1"; }

Result<std::vector<ValuePlace>> files_of(const ProcessReach& reach) {
  const auto found = controlled_cgroups(kFreezer, reach.cgroups, reach.members);
  if (!found) return std::unexpected(found.error());
  std::vector<ValuePlace> files;
  for (const fs::path& directory : found->directories) {
    files.push_back({(directory / (found->v2 ? kFreezer.v2_file : kV1State)).string()});
  }
  return files;
}

/// What somebody else has frozen is left to them.
Result<std::string> to_be_frozen(const ValuePlace& place) {
  const auto text = text_in(place.path);
  if (!text) return std::unexpected(text.error());
  const std::string frozen(frozen_value(place.path));
  if (value_in(*text, place) != frozen) return frozen;
  return fail(Errc::kRefused, "it is frozen already, by somebody else", "target",
              "what somebody else has set is left to them", "undo it first, or aim at something else");
}

/// With all that is below: "frozen 1" in cgroup.events (cgroup-v2.rst); in v1 it reads FREEZING till then.
std::map<std::string, std::string> count_halted(const std::set<fs::path>& directories) {
  std::size_t halted = 0;
  for (const fs::path& directory : directories) {
    const bool stands =
        count_in(directory / "cgroup.events", "frozen") == 1 || text_in(directory / kV1State).value_or("") == kV1Frozen;
    halted += stands ? 1 : 0;
  }
  return {{"halted", fmt::format("{} of {} cgroups", halted, directories.size())}};
}

}  // namespace

Status can_freeze(const ProcessReach& reach) {
  if (reach.cgroups.empty() && !reach.by_place) {
    return fail(Errc::kUnsupported, "single processes have no freezer of their own");
  }
  const auto files = files_of(reach);
  return files ? Status() : std::unexpected(files.error());
}

CgroupValues::Meaning freeze(bool measured) {
  CgroupValues::Meaning meaning{.where = files_of, .value = to_be_frozen};
  if (measured) meaning.measure = count_halted;
  return meaning;
}

}  // namespace chaos
