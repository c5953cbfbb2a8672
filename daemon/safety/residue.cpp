#include "safety/residue.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "safety/residue_parts.h"

namespace chaos {
namespace {

constexpr std::array kOrder = {residue::kLink,  residue::kProgram, residue::kMap,     residue::kAttachment,
                               residue::kQdisc, residue::kDevice,  residue::kCgroup,  residue::kProcess,
                               residue::kFile,  residue::kPin,     residue::kJournal, residue::kUnchecked};

// The dead account for nothing.
void drop_accounts(ResidueScope& scope) {
  scope.own_pid = 0;
  scope.own_links.clear();
  scope.own_programs.clear();
  scope.own_maps.clear();
  scope.own_devices.clear();
  scope.own_processes.clear();
  scope.own_cgroups.clear();
  scope.own_files.clear();
}

}  // namespace

Result<std::vector<ResidueItem>> find_residue(const ResidueScope& requested) {
  ResidueScope scope = requested;
  if (!scope.daemon_alive) drop_accounts(scope);
  if (!is_instance_name(scope.instance)) {
    return fail(Errc::kInvalid, "no instance name: \"" + scope.instance + "\"", "instance",
                "1 to 32 of A-Z a-z 0-9 _ -");
  }
  residue::Items items;
  residue::TaggedBpf tagged;
  residue::find_bpf_objects(scope, tagged, items);
  residue::find_in_namespaces(scope, tagged, items);
  residue::find_cgroups(scope, items);
  residue::find_processes(scope, items);
  residue::find_files(scope, items);
  residue::find_pins(scope, tagged, items);

  std::vector<ResidueItem> ordered;
  ordered.reserve(items.size());
  for (const std::string_view cls : kOrder) {
    std::ranges::copy_if(items, std::back_inserter(ordered),
                         [cls](const ResidueItem& item) { return item.cls == cls; });
  }
  return ordered;
}

}  // namespace chaos
