#include "fault/syscall_latency.h"

#include <fmt/format.h>

#include <array>

#include "base/contains.h"
#include "bpf/wait_abi.h"
#include "fault/delay_parameters.h"
#include "fault/syscall_request.h"

namespace chaos {
namespace {

using std::chrono::nanoseconds;

constexpr std::array<std::string_view, 5> kDelaySteps{"1ms", "10ms", "50ms", "200ms", "1s"};
constexpr std::array kParameters{
    ParamSpec{.name = "syscalls",
              .type = ParamType::kString,
              .help = "names, or file, network, process, memory for groups of them, separated by commas; what seldom "
                      "leaves a program alive is in no group"},
    ParamSpec{.name = "delay",
              .type = ParamType::kDuration,
              .help = "how long they wait before they do anything; only the thread that calls waits",
              .minimum = "1us",
              .maximum = "5s",
              .severity_steps = kDelaySteps,
              .required = true},
    ParamSpec{.name = "jitter",
              .type = ParamType::kDuration,
              .help = "uniform: at most this much more or less; normal, pareto, paretonormal: the standard deviation. "
                      "No wait is longer than 5s",
              .minimum = "0s",
              .maximum = "5s",
              .default_value = "0s",
              .when = {"distribution", kByJitter}},
    ParamSpec{.name = "distribution",
              .type = ParamType::kChoice,
              .help = "how waits are spread around `delay`",
              .default_value = "uniform",
              .choices = kDistributionNames},
    ParamSpec{.name = "table",
              .type = ParamType::kString,
              .help = "waits on top of `delay`, ascending, at evenly spaced quantiles from the least to the largest: "
                      "\"1ms,2ms,5ms,80ms\"",
              .when = {"distribution", kEmpirical},
              .required = true},
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of the calls that wait",
              .minimum = "0.0001%",
              .maximum = "100%",
              .default_value = "100%"},
    ParamSpec{.name = "every_nth",
              .type = ParamType::kInteger,
              .help = "every so many-th call instead, over all threads",
              .minimum = "1",
              .maximum = "4294967295"},
    ParamSpec{.name = "first", .type = ParamType::kInteger, .help = "of the first so many calls alone", .minimum = "1"},
    ParamSpec{.name = "path",
              .type = ParamType::kString,
              .help =
                  "on this file or below this directory, or on what a pattern with * and ? fits, as the caller sees "
                  "it: links resolved"},
    ParamSpec{.name = "fd_type",
              .type = ParamType::kString,
              .help = "on descriptors of these: regular, directory, socket, pipe, char, block, other"},
    ParamSpec{.name = "min_size",
              .type = ParamType::kBytes,
              .help = "with a buffer of so many bytes at least",
              .minimum = "1"},
    ParamSpec{.name = "max_waiters",
              .type = ParamType::kInteger,
              .help = "so many calls wait at a time, at most; others go on at once and are counted as over_limit",
              .minimum = "1",
              .maximum = "1024",
              .default_value = "64"},
};
static_assert(CHAOS_WAITS == 1024);

CallRules rules_of(const WaitLadder& ladder) {
  return {.done = "made to wait", .choose = [&ladder](const SyscallInfo& call, SyscallLadder::Needs needs) {
            return ladder.choose(call, needs);
          }};
}

Result<WaitOrder> wait_order(const Parameters& parameters) {
  WaitOrder order;
  auto shape = delay_of(parameters);
  if (!shape) return std::unexpected(shape.error());
  order.shape = std::move(*shape);
  if (least_delay(order.shape) < nanoseconds(0)) {
    return syscall_parameters::invalid(
        "some calls would have to go on before they come", "jitter",
        "delay at least: uniform, the jitter; pareto, 0.58 of it; normal and paretonormal, three times it",
        "make the delay longer or the jitter smaller");
  }
  if (!order.shape.table.empty() && order.shape.delay + order.shape.table.back() > kLongestWait) {
    return syscall_parameters::invalid("some calls would wait longer than 5s", "table",
                                       "5s at most, together with delay", "give shorter ones");
  }
  const auto limit = get_integer(parameters, "max_waiters");
  if (!limit) return std::unexpected(limit.error());
  order.limit = static_cast<std::uint32_t>(*limit);
  return order;
}

Status refine(Plan& plan) {
  const WaitLadder& ladder = WaitLadder::here();
  const auto request = latency_request(plan.parameters, ladder);
  if (!request) return std::unexpected(request.error());
  if (Status status = check_members(plan); !status) return status;
  plan.mechanism = mechanisms_of(*request);
  std::vector<std::string>& notes = plan.reach.notes;
  for (std::string& note : common_notes(*request, rules_of(ladder))) notes.push_back(std::move(note));
  if (contains(request->calls, SyscallMechanism::kWaitSecurity, &MeantSyscall::mechanism)) {
    notes.emplace_back("at security hooks a call is on its way already: openat with O_CREAT has made the file");
  }
  if (contains(request->calls, SyscallMechanism::kWaitEntry, &MeantSyscall::mechanism)) {
    notes.push_back(
        fmt::format("at entries at most {} callers of one call wait on each CPU; others go on and are "
                    "counted as over_limit",
                    CHAOS_WAIT_COPIES));
  }
  notes.emplace_back("calls of 32-bit and x32 programs, vDSO calls and what io_uring does are left alone");
  return {};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const auto request = latency_request(admitted.plan().parameters, WaitLadder::here());
  if (!request) return std::unexpected(request.error());
  return mechanisms.syscalls.prepare(admitted.plan(), *request, mechanisms.loads);
}

constexpr std::array<std::string_view, 2> kFeatures{"sleepable_security_hooks", "sleepable_syscall_entries"};

}  // namespace

Result<SyscallRequest> latency_request(const Parameters& parameters, const WaitLadder& ladder) {
  SyscallRequest request;
  auto order = wait_order(parameters);
  if (!order) return std::unexpected(order.error());
  request.wait = std::move(*order);
  if (Status status = read_share(parameters, request); !status) return std::unexpected(status.error());
  if (Status status = read_calls(parameters, rules_of(ladder), request); !status)
    return std::unexpected(status.error());
  return request;
}

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kSyscallLatency{
    .spec = {.name = "syscall_latency",
             .help = "let system calls of a target wait before they go on",
             .parameters = kParameters,
             .ownership = Ownership::kProcess,
             .targets = {.processes = true, .users = true},
             .features = kFeatures,
             .refine = refine,
             .unit = "call"},
    .prepare = prepare,
};

}  // namespace chaos
