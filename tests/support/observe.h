// What the kernel says about a chaosd from outside: BPF objects by id, hooks of a device, memory and CPU of a process.
// Needs root. Failures throw.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string>

#include "support/net.h"

namespace chaos::test {

struct BpfObjects {
  std::set<std::uint32_t> links;
  std::set<std::uint32_t> programs;
  std::set<std::uint32_t> maps;
  [[nodiscard]] bool empty() const { return links.empty() && programs.empty() && maps.empty(); }
};

/// What a process holds, from /proc/PID/fdinfo.
[[nodiscard]] BpfObjects bpf_objects_of(pid_t pid);
/// Those of `objects` whose ids the kernel still knows. Opens none: getting an fd of a PROG_ARRAY that nobody holds any
/// more, and closing it, queues the kernel's clean-up anew, and twice in a row leaks the map for good
/// (prog_array_map_clear in kernel/bpf/arraymap.c takes a reference even if its work is queued already; tried on 6.18).
[[nodiscard]] BpfObjects still_there(const BpfObjects& objects);
/// Ids of all links that bpftool(8) sees.
[[nodiscard]] std::set<std::uint32_t> bpftool_links();
/// How many programs are attached to both tcx hooks of `device` (BPF_PROG_QUERY); before 6.6, to its clsact qdisc.
[[nodiscard]] unsigned attached_programs(const Namespace& ns, const std::string& device);
/// Bytes of all BPF maps that the process holds, each map once (memlock in fdinfo, bpf(2)).
[[nodiscard]] std::uint64_t bpf_map_bytes(pid_t pid);

/// A line of /proc/PID/status in kB, such as "VmRSS".
[[nodiscard]] std::uint64_t status_kb(pid_t pid, const std::string& name);
/// CPU time of a process, exact (its CPU-time clock, clock_getcpuclockid(3)), unlike the ticks of /proc/PID/stat.
[[nodiscard]] std::chrono::nanoseconds cpu_time(pid_t pid);

}  // namespace chaos::test
