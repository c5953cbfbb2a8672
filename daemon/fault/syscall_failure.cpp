#include "fault/syscall_failure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>

#include "base/contains.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

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

constexpr std::array<std::pair<std::string_view, unsigned>, 7> kFdTypes{{{"regular", S_IFREG},
                                                                         {"directory", S_IFDIR},
                                                                         {"socket", S_IFSOCK},
                                                                         {"pipe", S_IFIFO},
                                                                         {"char", S_IFCHR},
                                                                         {"block", S_IFBLK},
                                                                         {"other", 0}}};
constexpr unsigned kTypeShift = 12;
constexpr int kHighestErrno = 4095;

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const auto comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

/// What was given of a parameter; empty if it was not.
std::string given(const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

std::unexpected<Error> invalid(std::string message, std::string_view parameter, std::string rule, std::string hint) {
  return fail(Errc::kInvalid, std::move(message), fmt::format("parameters.{}", parameter), std::move(rule),
              std::move(hint));
}

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

Result<std::uint32_t> parse_fd_types(const std::string& text) {
  std::uint32_t types = 0;
  if (text.empty()) return types;
  for (const std::string& item : split(text)) {
    const auto found = std::ranges::find(kFdTypes, item, &std::pair<std::string_view, unsigned>::first);
    if (found == kFdTypes.end()) {
      return invalid(fmt::format("\"{}\" is no type of descriptor", item), "fd_type",
                     "regular, directory, socket, pipe, char, block, other", "give one of these, or some with commas");
    }
    types |= 1U << (found->second >> kTypeShift);
  }
  return types;
}

Status check_path(const std::string& path) {
  if (path.empty()) return {};
  if (path.front() != '/' && path.front() != '*') {
    return invalid("the path is not absolute", "path", "begins with / or *", "write /var/lib/db or *.wal");
  }
  if (path.size() < CHAOS_SYSCALL_PATH) return {};
  return invalid(fmt::format("the path has {} bytes", path.size()), "path",
                 fmt::format("at most {} bytes", CHAOS_SYSCALL_PATH - 1), "shorten it with a *");
}

/// Why a filter cannot be asked of the call; empty: it can.
std::string_view misfit(const SyscallInfo& call, const SyscallRequest& request) {
  if (request.fd_types != 0 && !call.has_fd) return "fd_type";
  if (request.min_size != 0 && !call.has_size) return "min_size";
  return {};
}

Status add_named(const SyscallInfo& call, const SyscallLadder& ladder, SyscallRequest& request) {
  if (contains(request.calls, &call, &MeantSyscall::call)) return {};
  if (const std::string_view filter = misfit(call, request); !filter.empty()) {
    return invalid(fmt::format("{} has no argument that {} could be held against", call.name, filter), filter,
                   "calls that have it", fmt::format("leave out {} or {}", filter, call.name));
  }
  const auto mechanism = ladder.choose(call, {.path = !request.path.empty()});
  if (!mechanism) return std::unexpected(mechanism.error());
  request.calls.push_back({&call, *mechanism});
  return {};
}

/// Of a group those that can be failed here and have what the filters ask for.
void add_group(std::string_view group, const SyscallLadder& ladder, SyscallRequest& request) {
  for (const SyscallInfo& call : syscall_table()) {
    if (to_string(call.group) != group || call.named_only) continue;
    if (contains(request.calls, &call, &MeantSyscall::call)) continue;
    const auto mechanism = ladder.choose(call, {.path = !request.path.empty()});
    if (misfit(call, request).empty() && mechanism) {
      request.calls.push_back({&call, *mechanism});
    } else {
      request.left_out.emplace_back(call.name);
    }
  }
}

bool is_group(std::string_view name) {
  return std::ranges::any_of(syscall_table(), [&](const SyscallInfo& call) { return to_string(call.group) == name; });
}

Status choose_calls(const std::string& text, const SyscallLadder& ladder, SyscallRequest& request) {
  for (const std::string& item : split(text)) {
    if (is_group(item)) {
      add_group(item, ladder, request);
      continue;
    }
    const SyscallInfo* call = find_syscall(item);
    if (call == nullptr) {
      return invalid(fmt::format("\"{}\" is no system call that can be failed", item), "syscalls",
                     "names of system calls, or file, network, process, memory",
                     "see SYSCALL FAILURE in chaosd(8) for the list");
    }
    if (Status status = add_named(*call, ladder, request); !status) return status;
  }
  if (!request.calls.empty()) return {};
  return fail(Errc::kUnsupported, fmt::format("nothing of \"{}\" can be failed here", text), "parameters.syscalls",
              "calls that this kernel lets programs fail", "see `chaosctl features`");
}

std::vector<std::string> mechanisms_of(const SyscallRequest& request) {
  std::map<SyscallMechanism, std::vector<std::string_view>> by;
  for (const MeantSyscall& one : request.calls) by[one.mechanism].push_back(one.call->name);
  std::vector<std::string> texts;
  for (const auto& [mechanism, calls] : by) {
    texts.push_back(fmt::format("{}: {}", to_string(mechanism), fmt::join(calls, ", ")));
  }
  return texts;
}

/// 32-bit programs come in by other numbers, which are left alone: such a target would be hit in part, or not at all.
bool is_32_bit(pid_t pid) {
  constexpr std::size_t kClassAt = 4;  // EI_CLASS of elf(5)
  constexpr char kClass32 = 1;
  std::ifstream executable(fmt::format("/proc/{}/exe", pid), std::ios::binary);
  std::array<char, kClassAt + 1> header{};
  executable.read(header.data(), header.size());
  return executable.gcount() == header.size() && header[kClassAt] == kClass32;
}

/// What people log in with and what keeps the record of it; init, chaosd and sshd are refused for every kind.
constexpr std::array<std::string_view, 12> kLoginStack{
    "systemd-journald", "systemd-logind", "login",    "agetty",       "sudo",      "su",
    "dbus-daemon",      "dbus-broker",    "(sd-pam)", "sshd-session", "sshd-auth", "systemd"};

Status check_members(const Plan& plan) {
  for (const ProcessId& member : plan.reach.processes->members) {
    const std::string name = proc::executable_name("/proc", member.pid);
    if (contains(kLoginStack, name)) {
      return fail(Errc::kRefused, fmt::format("process {} of the target is {}", member.pid, name), "target",
                  "what people log in with and the journal are never touched",
                  "aim at something that they do not belong to");
    }
    if (is_32_bit(member.pid)) {
      return fail(Errc::kUnsupported, fmt::format("process {} ({}) is a 32-bit program", member.pid, name), "target",
                  "64-bit programs: others call by other numbers", "aim at something that it does not belong to");
    }
  }
  return {};
}

void add_notes(const SyscallRequest& request, std::vector<std::string>& notes) {
  if (!request.left_out.empty()) {
    notes.push_back(fmt::format("cannot be failed here, or not by these filters, and left out: {}",
                                fmt::join(request.left_out, ", ")));
  }
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
  plan.mechanism = fmt::format("{}", fmt::join(mechanisms_of(*request), "; "));
  add_notes(*request, plan.reach.notes);
  return {};
}

Result<std::unique_ptr<Fault>> prepare(const AdmittedPlan& admitted, const Mechanisms& mechanisms) {
  const auto request = syscall_request(admitted.plan().parameters, SyscallLadder::here());
  if (!request) return std::unexpected(request.error());
  return mechanisms.syscalls.prepare(admitted.plan(), *request);
}

constexpr std::array<std::string_view, 4> kFeatures{"fmod_ret_syscall", "bpf_override_return", "security_hooks",
                                                    "cgroup_calls"};

}  // namespace

Result<SyscallRequest> syscall_request(const Parameters& parameters, const SyscallLadder& ladder) {
  SyscallRequest request;
  auto errnos = parse_errnos(given(parameters, "errno"));
  if (!errnos) return std::unexpected(errnos.error());
  request.errnos = std::move(*errnos);
  const auto probability = get_probability(parameters, "probability");
  if (!probability) return std::unexpected(probability.error());
  request.probability = *probability;
  if (parameters.contains("every_nth")) request.every_nth = get_integer(parameters, "every_nth").value_or(0);
  if (parameters.contains("first")) request.first = get_integer(parameters, "first").value_or(0);
  if (parameters.contains("min_size")) request.min_size = get_bytes(parameters, "min_size").value_or(0);
  if (request.every_nth != 0 && request.probability.fraction() < 1) {
    return invalid("every_nth and probability each say which calls fail", "every_nth", "one of both",
                   "leave out probability (and severity), or every_nth");
  }
  request.path = given(parameters, "path");
  if (Status status = check_path(request.path); !status) return std::unexpected(status.error());
  const auto types = parse_fd_types(given(parameters, "fd_type"));
  if (!types) return std::unexpected(types.error());
  request.fd_types = *types;
  if (Status status = choose_calls(given(parameters, "syscalls"), ladder, request); !status) {
    return std::unexpected(status.error());
  }
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
