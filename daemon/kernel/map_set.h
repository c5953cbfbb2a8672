// MapSet: BPF maps that one fault has for itself, by their names in BPF C. Owns the descriptors; nothing is pinned.
// Needs CAP_BPF. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/mapped_array.h"

namespace chaos {

struct MapSpec {
  std::string_view bpf_name;
  std::string_view short_name;  ///< in the kernel: chaos_TAG_<short_name>
  std::uint32_t type;           ///< bpf_map_type
  std::uint32_t value_size;
  std::uint32_t entries;
  std::uint32_t flags;
};

class MapSet {
 public:
  /// Keys are 32-bit numbers. `tag`: instance_tag(). Error: kInternal with the map's name; then there is none.
  static Result<MapSet> create(std::string_view tag, std::span<const MapSpec> specs);

  [[nodiscard]] int fd(std::string_view bpf_name) const { return maps_.at(bpf_name).get(); }
  [[nodiscard]] std::map<std::string_view, int> fds() const;
  /// Kernel ids, for residue.
  [[nodiscard]] std::vector<std::uint32_t> ids() const;

  /// Error: kInternal.
  template <class T>
  Status map_into(MappedArray<T>& target, std::string_view bpf_name, std::size_t entries) const {
    auto array = MappedArray<T>::map(fd(bpf_name), entries);
    if (!array) return std::unexpected(array.error());
    target = std::move(*array);
    return {};
  }

 private:
  std::map<std::string_view, UniqueFd> maps_;
};

}  // namespace chaos
