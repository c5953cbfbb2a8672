// Instance names and the tags that mark what belongs to one instance of chaosd (CONTRACT, "chaosd and chaosctl").
// Everything that chaosd makes on a host carries its instance, so that residue of one is never taken for another's.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace chaos {

inline constexpr std::string_view kDefaultInstance = "default";

/// 1 to 32 of [A-Za-z0-9_-]: no dot, which ends the instance in `chaosd-INSTANCE.SUFFIX`.
[[nodiscard]] constexpr bool is_instance_name(std::string_view name) {
  if (name.empty() || name.size() > 32) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
  }
  return true;
}

/// Four lower-case hex digits: FNV-1a 32 of the name, folded by XOR to 16 bits (RFC draft-eastlake-fnv, "xor-folding").
/// Short, because BPF object and interface names are limited to 15 characters; two instances may share a tag (1 in
/// 65536), so instances that run side by side should be checked for it.
[[nodiscard]] inline std::string instance_tag(std::string_view instance) {
  std::uint32_t hash = 2166136261U;
  for (const char c : instance) {
    hash ^= static_cast<std::uint8_t>(c);
    hash *= 16777619U;
  }
  const std::uint32_t folded = (hash >> 16) ^ (hash & 0xffffU);
  constexpr std::string_view kHex = "0123456789abcdef";
  return {kHex[(folded >> 12) & 0xfU], kHex[(folded >> 8) & 0xfU], kHex[(folded >> 4) & 0xfU], kHex[folded & 0xfU]};
}

/// Names of BPF maps and programs begin with this: "chaos_TAG_" (11 of the 15 characters).
[[nodiscard]] inline std::string bpf_name_prefix(std::string_view instance) {
  return "chaos_" + instance_tag(instance) + "_";
}

/// Names of network devices begin with this, those of any instance: no scenario is aimed at one.
inline constexpr std::string_view kDevicePrefix = "chaosd-";

/// Names of one instance's network devices begin with this: "chaosd-TAG-" (12 of the 15 characters).
[[nodiscard]] inline std::string device_name_prefix_of_tag(std::string_view tag) {
  return std::string(kDevicePrefix) + std::string(tag) + "-";
}
[[nodiscard]] inline std::string device_name_prefix(std::string_view instance) {
  return device_name_prefix_of_tag(instance_tag(instance));
}

/// Names of cgroups and pins: "chaosd-INSTANCE", alone or followed by a dot.
[[nodiscard]] inline std::string instance_path_name(std::string_view instance) {
  return "chaosd-" + std::string(instance);
}

/// comm of the processes that keep a resource busy (load/worker.h).
inline constexpr std::string_view kLoadWorkerComm = "chaosd-load";
/// comm of the processes that hold and end waits (wait/wait_server.h).
inline constexpr std::string_view kWaitComm = "chaosd-waits";

/// Name in /run/motd.d: "chaosd", and "chaosd-INSTANCE" unless it is the default one.
[[nodiscard]] inline std::string motd_name(std::string_view instance) {
  return instance == kDefaultInstance ? "chaosd" : instance_path_name(instance);
}

/// What the entry in /run/motd.d leads to, in the runtime directory.
inline constexpr std::string_view kMotdFile = "motd";

/// True for "chaosd-INSTANCE" and "chaosd-INSTANCE.anything".
[[nodiscard]] inline bool is_instance_path_name(std::string_view name, std::string_view instance) {
  const std::string own = instance_path_name(instance);
  return name.starts_with(own) && (name.size() == own.size() || name[own.size()] == '.');
}

}  // namespace chaos
