#include "fault/syscall_failure.h"

#include <fmt/format.h>
#include <string.h>

#include <array>

#include "base/contains.h"
#include "fault/syscall_request.h"

namespace chaos {
namespace {

using syscall_parameters::given;
using syscall_parameters::invalid;
using syscall_parameters::split;

constexpr std::array<std::string_view, 5> kProbabilitySteps{"0.1%", "1%", "5%", "20%", "50%"};
constexpr std::array kParameters{
    ParamSpec{.name = "syscalls",
              .type = ParamType::kString,
              .help = "names, or file, network, process, memory for groups of them, separated by commas; what seldom "
                      "leaves a program alive is in no group"},
    ParamSpec{.name = "errno",
              .type = ParamType::kString,
              .help = "what they fail with: a name, or names with weights such as EIO:3,ENOSPC:1",
              .default_value = "EIO"},
    ParamSpec{.name = "probability",
              .type = ParamType::kProbability,
              .help = "share of the calls that fail",
              .minimum = "0.0001%",
              .maximum = "100%",
              .default_value = "100%",
              .severity_steps = kProbabilitySteps},
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
};

constexpr int kHighestErrno = 4095;

int errno_by_name(std::string_view name) {
  for (int number = 1; number <= kHighestErrno; ++number) {
    const char* known = ::strerrorname_np(number);
    if (known != nullptr && name == known) return number;
  }
  return 0;
}

Result<std::vector<SyscallRequest::WeightedErrno>> parse_errnos(const std::string& text) {
  std::vector<SyscallRequest::WeightedErrno> errnos;
  for (const std::string& item : split(text)) {
    const auto colon = item.find(':');
    SyscallRequest::WeightedErrno one{.number = errno_by_name(std::string_view(item).substr(0, colon))};
    if (one.number == 0) {
      return invalid(fmt::format("\"{}\" is no errno", item), "errno", "names of errno(3), with weights or without",
                     "write EIO, or EIO:3,ENOSPC:1");
    }
    if (colon != std::string::npos) {
      const auto weight = parse_unsigned(std::string_view(item).substr(colon + 1));
      constexpr std::uint64_t kHeaviest = 1'000'000;
      if (!weight || *weight == 0 || *weight > kHeaviest) {
        return invalid(fmt::format("\"{}\" has no weight", item), "errno", "weights are numbers from 1 to 1000000",
                       "write EIO:3,ENOSPC:1");
      }
      one.weight = *weight;
    }
    if (contains(errnos, one.number, &SyscallRequest::WeightedErrno::number)) {
      return invalid(fmt::format("{} is there twice", errno_name(one.number)), "errno", "each errno once",
                     "add up its weights");
    }
    errnos.push_back(one);
  }
  if (errnos.size() <= CHAOS_SYSCALL_ERRNOS) return errnos;
  return invalid(fmt::format("{} errnos", errnos.size()), "errno", fmt::format("at most {}", CHAOS_SYSCALL_ERRNOS),
                 "give fewer");
}

CallRules rules_of(const SyscallLadder& ladder) {
  return {.done = "failed", .choose = [&ladder](const SyscallInfo& call, SyscallLadder::Needs needs) {
            return ladder.choose(call, needs);
          }};
}

void add_notes(const SyscallRequest& request, std::vector<std::string>& notes) {
  for (std::string& note : common_notes(request, rules_of(SyscallLadder::here()))) notes.push_back(std::move(note));
  const auto by = [&](SyscallMechanism mechanism) {
    return contains(request.calls, mechanism, &MeantSyscall::mechanism);
  };
  if (by(SyscallMechanism::kCgroup)) {
    notes.emplace_back(
        "at cgroup hooks: internet sockets alone (options: all sockets), sends that name an address and "
        "are not connected, getsockopt behind the call; seen at the root of the tree");
  }
  if (by(SyscallMechanism::kSecurity)) {
    notes.emplace_back("at security hooks a call is on its way already: openat with O_CREAT has made the file");
  }
  notes.emplace_back(
      "calls of 32-bit and x32 programs, vDSO calls and, but for io_uring_read and io_uring_write, what "
      "io_uring does are left alone");
}

Status refine(Plan& plan) {
  const auto request = syscall_request(plan.parameters, SyscallLadder::here());
  if (!request) return std::unexpected(request.error());
  if (Status status = check_members(plan); !status) return status;
  plan.mechanism = mechanisms_of(*request);
  add_notes(*request, plan.reach.notes);
  return {};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const auto request = syscall_request(admitted.plan().parameters, SyscallLadder::here());
  if (!request) return std::unexpected(request.error());
  return mechanisms.syscalls.prepare(admitted.plan(), *request, mechanisms.loads);
}

constexpr std::array<std::string_view, 4> kFeatures{"fmod_ret_syscall", "bpf_override_return", "security_hooks",
                                                    "cgroup_calls"};

}  // namespace

Result<SyscallRequest> syscall_request(const Parameters& parameters, const SyscallLadder& ladder) {
  SyscallRequest request;
  auto errnos = parse_errnos(given(parameters, "errno"));
  if (!errnos) return std::unexpected(errnos.error());
  request.errnos = std::move(*errnos);
  if (Status status = read_share(parameters, request); !status) return std::unexpected(status.error());
  if (Status status = read_calls(parameters, rules_of(ladder), request); !status)
    return std::unexpected(status.error());
  return request;
}

// NOLINTNEXTLINE(cppcoreguidelines-interfaces-global-init)
const FaultKind kSyscallFailure{
    .spec = {.name = "syscall_failure",
             .help = "let system calls of a target fail with an errno",
             .parameters = kParameters,
             .ownership = Ownership::kFileDescriptor,
             .targets = {.processes = true, .users = true},
             .features = kFeatures,
             .refine = refine,
             .unit = "call"},
    .prepare = prepare,
};

}  // namespace chaos
