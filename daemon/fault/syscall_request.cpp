#include "fault/syscall_request.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>

#include "base/contains.h"
#include "kernel/proc_tree.h"

namespace chaos {
namespace {

using syscall_parameters::given;
using syscall_parameters::invalid;
using syscall_parameters::split;

constexpr std::array<std::pair<std::string_view, unsigned>, 7> kFdTypes{{{"regular", S_IFREG},
                                                                         {"directory", S_IFDIR},
                                                                         {"socket", S_IFSOCK},
                                                                         {"pipe", S_IFIFO},
                                                                         {"char", S_IFCHR},
                                                                         {"block", S_IFBLK},
                                                                         {"other", 0}}};
constexpr unsigned kTypeShift = 12;

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

SyscallLadder::Needs needs_of(const SyscallRequest& request) {
  return {.path = !request.path.empty(), .exact = request.every_nth != 0 || request.first != 0};
}

Status add_named(const SyscallInfo& call, const CallRules& rules, SyscallRequest& request) {
  if (contains(request.calls, &call, &MeantSyscall::call)) return {};
  if (const std::string_view filter = misfit(call, request); !filter.empty()) {
    return invalid(fmt::format("{} has no argument that {} could be held against", call.name, filter), filter,
                   "calls that have it", fmt::format("leave out {} or {}", filter, call.name));
  }
  const auto mechanism = rules.choose(call, needs_of(request));
  if (!mechanism) return std::unexpected(mechanism.error());
  request.calls.push_back({&call, *mechanism});
  return {};
}

/// Of a group those that can be had here and have what the filters ask for.
void add_group(std::string_view group, const CallRules& rules, SyscallRequest& request) {
  for (const SyscallInfo& call : syscall_table()) {
    if (to_string(call.group) != group || call.named_only) continue;
    if (contains(request.calls, &call, &MeantSyscall::call)) continue;
    const auto mechanism = rules.choose(call, needs_of(request));
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

Status choose_calls(const std::string& text, const CallRules& rules, SyscallRequest& request) {
  for (const std::string& item : split(text)) {
    if (is_group(item)) {
      add_group(item, rules, request);
      continue;
    }
    const SyscallInfo* call = find_syscall(item);
    if (call == nullptr) {
      return invalid(fmt::format("\"{}\" is no system call that can be {}", item, rules.done), "syscalls",
                     "names of system calls, or file, network, process, memory",
                     "see SYSCALL FAILURE in chaosd(8) for the list");
    }
    if (Status status = add_named(*call, rules, request); !status) return status;
  }
  if (!request.calls.empty()) return {};
  return fail(Errc::kUnsupported, fmt::format("nothing of \"{}\" can be {} here", text, rules.done),
              "parameters.syscalls", "calls that this kernel lets programs have their hand in",
              "see `chaosctl features`");
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

}  // namespace

namespace syscall_parameters {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const auto comma = text.find(',');
    items.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::string given(const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

std::unexpected<Error> invalid(std::string message, std::string_view parameter, std::string rule, std::string hint) {
  return fail(Errc::kInvalid, std::move(message), fmt::format("parameters.{}", parameter), std::move(rule),
              std::move(hint));
}

}  // namespace syscall_parameters

Status read_share(const Parameters& parameters, SyscallRequest& request) {
  const auto probability = get_probability(parameters, "probability");
  if (!probability) return std::unexpected(probability.error());
  request.probability = *probability;
  if (parameters.contains("every_nth")) request.every_nth = get_integer(parameters, "every_nth").value_or(0);
  if (parameters.contains("first")) request.first = get_integer(parameters, "first").value_or(0);
  if (request.every_nth == 0 || request.probability.fraction() >= 1) return {};
  return invalid("every_nth and probability each say which calls are meant", "every_nth", "one of both",
                 "leave out probability (and severity), or every_nth");
}

Status read_calls(const Parameters& parameters, const CallRules& rules, SyscallRequest& request) {
  if (parameters.contains("min_size")) request.min_size = get_bytes(parameters, "min_size").value_or(0);
  request.path = given(parameters, "path");
  if (Status status = check_path(request.path); !status) return status;
  const auto types = parse_fd_types(given(parameters, "fd_type"));
  if (!types) return std::unexpected(types.error());
  request.fd_types = *types;
  return choose_calls(given(parameters, "syscalls"), rules, request);
}

std::string mechanisms_of(const SyscallRequest& request) {
  std::map<SyscallMechanism, std::vector<std::string_view>> by;
  for (const MeantSyscall& one : request.calls) by[one.mechanism].push_back(one.call->name);
  std::vector<std::string> texts;
  texts.reserve(by.size());
  for (const auto& [mechanism, calls] : by) {
    texts.push_back(fmt::format("{}: {}", to_string(mechanism), fmt::join(calls, ", ")));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

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

std::vector<std::string> common_notes(const SyscallRequest& request, const CallRules& rules) {
  if (request.left_out.empty()) return {};
  return {fmt::format("cannot be {} here, or not by these filters, and left out: {}", rules.done,
                      fmt::join(request.left_out, ", "))};
}

}  // namespace chaos
