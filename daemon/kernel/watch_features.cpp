#include "kernel/watch_features.h"

#include "kernel/net_probes.h"
#include "kernel/syscall_probes.h"
#include "kernel/tracepoints.h"

namespace chaos {
namespace {

/// No instance has this tag: they are hexadecimal.
constexpr const char* kProbeTag = "prob";

Feature net_feature(const char* name, NetWatch what) {
  const auto probes = NetProbes::attach(what, {.tag = kProbeTag, .drop_mark = 0});
  return {name, probes.has_value(), probes ? "" : probes.error().message, ""};
}

Feature told(const char* name, bool is, const char* reason, const char* instead) {
  return {name, is, is ? "" : reason, is ? "" : instead};
}

}  // namespace

std::vector<Feature> probe_watches() {
  std::vector<Feature> features{net_feature("watch_drops", NetWatch::kDrops), net_feature("watch_tcp", NetWatch::kTcp)};
  {
    const auto probes = SyscallProbes::attach({.tag = kProbeTag, .drop_mark = 0}, {.cgroups = {}, .processes = {}});
    features.push_back({"watch_syscalls", probes.has_value(), probes ? "" : probes.error().message, ""});
  }
  const Tracepoints known = tracepoints().value_or(Tracepoints{});
  features.push_back(told("drop_receivers", known.drop_receivers,
                          "the kernel does not say whose an arriving packet was that it drops (Linux 6.11)",
                          "of a target, such drops are counted apart as those without a socket"));
  features.push_back(told("resets_without_socket", known.resets_without_socket,
                          "the kernel does not tell of resets that answer packets to no socket (Linux 6.10)",
                          "chaosd_host_tcp_resets_sent_total"));
  return features;
}

}  // namespace chaos
