// Which containers carry a name, by what Docker and Podman or CRI-O (containers/storage) keep on disk about theirs: no
// socket of theirs is needed. containerd keeps names in a database of its own: its containers are found by id. Needs
// the right to read below /var/lib. Any thread.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace chaos {

/// Full ids, of running containers and of others. Empty if there are none or nothing can be read.
/// Sources: Docker's containers/ID/config.v2.json ("/NAME"); containers.json of containers/storage, for each storage
/// driver ("names").
[[nodiscard]] std::set<std::string> containers_named(const std::string& name,
                                                     const std::filesystem::path& var_lib = "/var/lib");

}  // namespace chaos
