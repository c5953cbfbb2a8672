// What residue_test leaves lying about on purpose, each in RAII. Everything but the cgroup lives in namespaces of the
// test's own, so that the kernel clears it up even if the test is killed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos::test {

/// Gives the calling thread's process a new network and mount namespace, with a bpffs at `bpffs` if that can be had.
Status enter_own_namespaces(const std::filesystem::path& bpffs);
/// A network namespace that has no process, only the mount point `file`.
Status make_named_namespace(const std::filesystem::path& file, const std::vector<std::string>& commands);

/// An array map.
[[nodiscard]] Result<UniqueFd> plant_map(const std::string& name);
/// A tc classifier that passes every packet on. `map_fd` >= 0: one that holds a reference on this map.
[[nodiscard]] Result<UniqueFd> plant_program(const std::string& name, int map_fd = -1);
/// A link on a device, which outlives the device: on tcx ingress by the tc classifier `program`; on kernels without tcx
/// by an XDP program of its own, called `name`.
struct PlantedLink {
  UniqueFd link;
  UniqueFd program;  ///< invalid with tcx
};
[[nodiscard]] Result<PlantedLink> plant_link(int program, const std::string& name, const char* interface);
/// On tcx egress, without a link: it stays until the device goes. Only where there is tcx.
Status plant_tcx_attachment(int program, const char* interface);

[[nodiscard]] std::uint32_t map_id(const UniqueFd& fd);
[[nodiscard]] std::uint32_t program_id(const UniqueFd& fd);
[[nodiscard]] std::uint32_t link_id(const UniqueFd& fd);

/// A cgroup in the v2 tree.
class PlantedCgroup {
 public:
  explicit PlantedCgroup(const std::string& name);
  PlantedCgroup(const PlantedCgroup&) = delete;
  PlantedCgroup& operator=(const PlantedCgroup&) = delete;
  ~PlantedCgroup();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace chaos::test
