#include "support/observe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace chaos::test {
namespace {

namespace fs = std::filesystem;

/// Attach types of tcx (linux/bpf.h ≥ 6.6): 46 ingress, 47 egress; the header here may be older.
constexpr std::array kTcxTypes{static_cast<bpf_attach_type>(46), static_cast<bpf_attach_type>(47)};

/// `ids` without those that the kernel has forgotten.
std::set<std::uint32_t> known(int (*next)(__u32, __u32*), const std::set<std::uint32_t>& ids) {
  std::set<std::uint32_t> found;
  for (const std::uint32_t id : ids) {
    __u32 at = 0;
    if (next(id - 1, &at) == 0 && at == id) found.insert(id);
  }
  return found;
}

/// The lines "key:\tNUMBER" of a fdinfo file.
std::map<std::string, std::uint64_t> numbers_of(const fs::path& fdinfo) {
  std::map<std::string, std::uint64_t> numbers;
  std::ifstream file(fdinfo);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream value(line.substr(colon + 1));
    if (std::uint64_t number = 0; value >> number) numbers[line.substr(0, colon)] = number;
  }
  return numbers;
}

}  // namespace

BpfObjects bpf_objects_of(pid_t pid) {
  BpfObjects found;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fdinfo")) {
    const auto numbers = numbers_of(entry.path());
    for (auto& [key, ids] : {std::pair{"link_id", &found.links}, std::pair{"prog_id", &found.programs},
                             std::pair{"map_id", &found.maps}}) {
      if (const auto id = numbers.find(key); id != numbers.end()) ids->insert(static_cast<std::uint32_t>(id->second));
    }
  }
  return found;
}

BpfObjects still_there(const BpfObjects& objects) {
  return {known(bpf_link_get_next_id, objects.links), known(bpf_prog_get_next_id, objects.programs),
          known(bpf_map_get_next_id, objects.maps)};
}

std::set<std::uint32_t> bpftool_links() {
  std::set<std::uint32_t> ids;
  // bpftool gives up when a link of somebody else goes while it looks.
  const bool listed = eventually([&] {
    const Outcome outcome = try_shell("bpftool -j link show");
    const auto links = nlohmann::json::parse(outcome.output, nullptr, false);
    if (outcome.status != 0 || !links.is_array()) return false;
    for (const auto& link : links) ids.insert(link.at("id").get<std::uint32_t>());
    return true;
  });
  if (!listed) throw std::runtime_error("bpftool link show fails");
  return ids;
}

namespace {

/// BPF programs that hang on a device's clsact qdisc.
unsigned classic_filters(const Namespace& ns, const std::string& device) {
  const std::string show = "tc -n " + ns.name() + " filter show dev " + device;
  return static_cast<unsigned>(
      std::stoul(shell("(" + show + " ingress; " + show + " egress) | grep -c direct-action || true")));
}

}  // namespace

unsigned attached_programs(const Namespace& ns, const std::string& device) {
  unsigned total = 0;
  ns.run([&] {
    const auto ifindex = static_cast<int>(if_nametoindex(device.c_str()));
    if (ifindex == 0) throw std::runtime_error("no device " + device);
    for (const bpf_attach_type type : kTcxTypes) {
      std::array<__u32, 64> ids{};
      auto count = static_cast<__u32>(ids.size());
      // The ifindex stands where other attach types have an fd.
      if (bpf_prog_query(ifindex, type, 0, nullptr, ids.data(), &count) != 0) {
        if (errno == ENOENT) continue;
        if (errno == EINVAL) return static_cast<void>(total = classic_filters(ns, device));  // before 6.6
        throw std::runtime_error(std::string("BPF_PROG_QUERY: ") + std::strerror(errno));
      }
      total += count;
    }
  });
  return total;
}

std::uint64_t bpf_map_bytes(pid_t pid) {
  std::set<std::uint64_t> ids;
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fdinfo")) {
    auto numbers = numbers_of(entry.path());
    if (numbers.contains("map_id") && ids.insert(numbers["map_id"]).second) bytes += numbers["memlock"];
  }
  if (ids.empty()) throw std::runtime_error("no BPF map in pid " + std::to_string(pid));
  return bytes;
}

std::uint64_t status_kb(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name + ":")) continue;
    return std::stoull(line.substr(name.size() + 1));
  }
  throw std::runtime_error("no " + name + " of pid " + std::to_string(pid));
}

std::chrono::nanoseconds cpu_time(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  const int error = clock_getcpuclockid(pid, &clock);
  if (error != 0 || clock_gettime(clock, &used) != 0) {
    throw std::runtime_error("no CPU clock of pid " + std::to_string(pid));
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace chaos::test
