#include "config/kinds.h"

#include <algorithm>
#include <array>

namespace chaos {
namespace {

using enum ParameterForm;

constexpr std::array<std::string_view, 4> kLossModels{"random", "gilbert_elliott", "every_nth", "per_flow"};
constexpr std::array<std::string_view, 5> kDistributions{"uniform", "normal", "pareto", "paretonormal", "empirical"};
constexpr std::array<std::string_view, 2> kPartitionModes{"blackhole", "reject"};
constexpr std::array<std::string_view, 8> kErrnos{"EHOSTUNREACH", "ENETUNREACH",   "ECONNREFUSED", "ECONNRESET",
                                                  "ETIMEDOUT",    "EADDRNOTAVAIL", "EACCES",       "EPERM"};
constexpr std::array<std::string_view, 5> kResources{"cpu", "memory", "disk", "pids", "fds"};
constexpr std::array<std::string_view, 6> kResourceModes{"load", "throttle", "pressure", "limit", "fill", "io_load"};
constexpr std::array<std::string_view, 3> kFailureTypes{"crash", "hang", "slow_response"};
constexpr std::array<std::string_view, 8> kSignals{"SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT",
                                                   "SIGINT",  "SIGQUIT", "SIGHUP",  "SIGBUS"};
constexpr std::array<std::string_view, 3> kSlowBy{"freeze", "throttle", "latency"};

constexpr KindParameter kCommon[]{{"max_events", kInteger}};
constexpr KindParameter kPacketLoss[]{
    {"probability", kProbability}, {"model", kChoice, kLossModels}, {"p", kProbability}, {"r", kProbability},
    {"good_loss", kProbability},   {"bad_loss", kProbability},      {"n", kInteger},     {"share", kProbability}};
constexpr KindParameter kLatency[]{{"delay", kDuration},      {"jitter", kDuration},
                                   {"table", kText},          {"distribution", kChoice, kDistributions},
                                   {"reorder", kProbability}, {"ramp_from", kDuration},
                                   {"ramp_over", kDuration},  {"pulse_on", kDuration},
                                   {"pulse_off", kDuration}};
constexpr KindParameter kPartition[]{
    {"mode", kChoice, kPartitionModes}, {"errno", kChoice, kErrnos}, {"share", kProbability}};
constexpr KindParameter kProbabilityOnly[]{{"probability", kProbability}};
constexpr KindParameter kBandwidth[]{{"rate", kBitRate}, {"burst", kBytes}, {"queue", kBytes}};
constexpr KindParameter kResource[]{{"resource", kChoice, kResources},
                                    {"mode", kChoice, kResourceModes},
                                    {"level", kProbability},
                                    {"path", kText},
                                    {"rate", kBitRate},
                                    {"leave", kBytes},
                                    {"floor", kProbability},
                                    {"cpus", kText}};
constexpr KindParameter kComponent[]{{"failure_type", kChoice, kFailureTypes},
                                     {"signal", kChoice, kSignals},
                                     {"every", kDuration},
                                     {"pulse_on", kDuration},
                                     {"pulse_off", kDuration},
                                     {"frozen", kProbability},
                                     {"slice", kDuration},
                                     {"by", kChoice, kSlowBy},
                                     {"delay", kDuration},
                                     {"jitter", kDuration}};
constexpr KindParameter kSyscallFailure[]{{"syscalls", kText},     {"errno", kText},    {"probability", kProbability},
                                          {"every_nth", kInteger}, {"first", kInteger}, {"path", kText},
                                          {"fd_type", kText},      {"min_size", kBytes}};
constexpr KindParameter kSyscallLatency[]{{"syscalls", kText},     {"delay", kDuration},
                                          {"jitter", kDuration},   {"distribution", kChoice, kDistributions},
                                          {"table", kText},        {"probability", kProbability},
                                          {"every_nth", kInteger}, {"first", kInteger},
                                          {"path", kText},         {"fd_type", kText},
                                          {"min_size", kBytes},    {"max_waiters", kInteger}};

constexpr KindEntry kKinds[]{
    {"packet_loss", true, kPacketLoss},
    {"latency_injection", true, kLatency},
    {"network_partition", true, kPartition},
    {"packet_duplication", true, kProbabilityOnly},
    {"packet_corruption", true, kProbabilityOnly},
    {"bandwidth_limit", true, kBandwidth},
    {"resource_exhaustion", true, kResource},
    {"component_failure", true, kComponent},
    {"syscall_failure", true, kSyscallFailure},
    {"syscall_latency", true, kSyscallLatency},
};

const KindParameter* find_in(std::span<const KindParameter> parameters, std::string_view name) {
  const auto found = std::ranges::find(parameters, name, &KindParameter::name);
  return found == parameters.end() ? nullptr : &*found;
}

}  // namespace

std::span<const KindEntry> config_kinds() { return kKinds; }

const KindEntry* find_config_kind(std::string_view name) {
  const auto found = std::ranges::find(kKinds, name, &KindEntry::name);
  return found == std::end(kKinds) ? nullptr : found;
}

const KindParameter* find_config_parameter(const KindEntry& kind, std::string_view name) {
  const KindParameter* own = find_in(kind.parameters, name);
  return own != nullptr ? own : find_in(kCommon, name);
}

bool can_be_bounded(ParameterForm form) { return form != kChoice && form != kText; }

}  // namespace chaos
