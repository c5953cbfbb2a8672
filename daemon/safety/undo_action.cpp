#include "safety/undo_action.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "kernel/classic_tc.h"
#include "kernel/netns.h"
#include "kernel/proc_tree.h"
#include "kernel/process_handle.h"
#include "safety/kernel_value.h"
#include "safety/undo_fd_limits.h"

namespace chaos {
namespace {

using nlohmann::json;

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

TcSide side_of(const TcFilterAdded& filter) { return filter.egress ? TcSide::kEgress : TcSide::kIngress; }

UndoResult failed(const Error& error) { return {UndoOutcome::kFailed, error.message}; }
UndoResult gone_or_failed(const Error& error) {
  return {error.code == Errc::kNotFound ? UndoOutcome::kGone : UndoOutcome::kFailed, error.message};
}

/// Runs `job` inside the namespace, if it still lives.
template <class Job>
UndoResult inside(std::uint64_t netns, const Job& job) {
  const auto found = Netns::find(netns);
  if (!found) return gone_or_failed(found.error());
  UndoResult result;
  if (const Status entered = found->run([&] { result = job(); }); !entered) return failed(entered.error());
  return result;
}

UndoResult settle(const ClsactAdded& clsact, bool act) {
  return inside(clsact.netns, [&]() -> UndoResult {
    const auto there = has_clsact(clsact.ifindex);
    if (!there) return failed(there.error());
    if (!*there) return {UndoOutcome::kNotNeeded, "no clsact qdisc there"};
    if (!act) return {UndoOutcome::kUndone, {}};
    const auto removed = remove_clsact_if_empty(clsact.ifindex);
    if (!removed) return failed(removed.error());
    if (!*removed) return {UndoOutcome::kTheirs, "filters of others hang on the qdisc by now"};
    return {UndoOutcome::kUndone, {}};
  });
}

UndoResult settle(const TcFilterAdded& ours, bool act) {
  return inside(ours.netns, [&]() -> UndoResult {
    const auto there = find_tc_filter(ours.ifindex, side_of(ours), ours.priority, ours.handle);
    if (!there) return failed(there.error());
    if (!*there) return {UndoOutcome::kNotNeeded, "no such filter"};
    if ((*there)->program != ours.program) {
      return {UndoOutcome::kTheirs, fmt::format("program {} is there instead", (*there)->program)};
    }
    if (!act) return {UndoOutcome::kUndone, {}};
    const Status removed = remove_tc_filter(ours.ifindex, side_of(ours), ours.priority, ours.handle);
    return removed ? UndoResult{UndoOutcome::kUndone, {}} : failed(removed.error());
  });
}

UndoResult settle(const FileValueChanged& change, bool act) {
  const ValuePlace place{change.path, change.key};
  const UniqueFd fd(::open(change.path.c_str(), (act ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && (errno == ENOENT || errno == ENODEV || errno == ENOTDIR)) {
    return {UndoOutcome::kGone, change.path + " is gone"};
  }
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) return failed(fail_errno("open " + change.path).error());
  if (status.st_dev != change.device || status.st_ino != change.inode) {
    return {UndoOutcome::kGone, change.path + " is another object by now"};
  }
  const auto now = read_value(fd.get(), place);
  if (!now) return gone_or_failed(now.error());
  if (*now == change.before) return {UndoOutcome::kNotNeeded, {}};
  if (*now != change.written) {
    return {UndoOutcome::kTheirs, fmt::format("it reads '{}', and we wrote '{}'", *now, change.written)};
  }
  if (!act) return {UndoOutcome::kUndone, {}};
  if (::ftruncate(fd.get(), 0) != 0 && errno != EINVAL && errno != EPERM) {
    return failed(fail_errno("write " + change.path).error());
  }
  const Status written = write_value(fd.get(), change.before, place);
  return written ? UndoResult{UndoOutcome::kUndone, {}} : gone_or_failed(written.error());
}

UndoResult settle(const ProcessStopped& stopped, bool act) {
  const auto process = ProcessHandle::open({stopped.pid, stopped.start_ticks});
  if (!process) return gone_or_failed(process.error());
  const UndoResult seen{proc::is_stopped("/proc", stopped.pid) ? UndoOutcome::kUndone : UndoOutcome::kNotNeeded, {}};
  if (!act) return seen;
  // Sent in any case: between the arrival of a SIGSTOP and the halt of the last thread nothing of it can be seen.
  const Status sent = process->signal(SIGCONT);
  return sent ? seen : gone_or_failed(sent.error());
}

UndoResult settle(const FdLimitsLowered& lowered, bool act) {
  return act ? raise_fd_limits(lowered) : look_at_fd_limits(lowered);
}

}  // namespace

std::string_view to_string(UndoOutcome outcome) {
  switch (outcome) {
    case UndoOutcome::kUndone:
      return "undone";
    case UndoOutcome::kNotNeeded:
      return "not_needed";
    case UndoOutcome::kGone:
      return "gone";
    case UndoOutcome::kTheirs:
      return "conflict";
    case UndoOutcome::kFailed:
      return "failed";
  }
  return "failed";
}

std::string describe(const UndoAction& action) {
  return std::visit(
      Overloaded{[](const ClsactAdded& clsact) {
                   return fmt::format("clsact qdisc on ifindex {} in netns {}", clsact.ifindex, clsact.netns);
                 },
                 [](const TcFilterAdded& filter) {
                   return fmt::format("tc filter on ifindex {} {}, prio {}, handle {:#x}, in netns {}", filter.ifindex,
                                      filter.egress ? "egress" : "ingress", filter.priority, filter.handle,
                                      filter.netns);
                 },
                 [](const FileValueChanged& change) {
                   return fmt::format("{}: '{}' back to '{}'", describe(ValuePlace{change.path, change.key}),
                                      change.written, change.before);
                 },
                 [](const ProcessStopped& stopped) { return fmt::format("process {} stopped", stopped.pid); },
                 [](const FdLimitsLowered& lowered) {
                   return fmt::format("soft limit of open files at {}, of process {} and {} others", lowered.written,
                                      lowered.processes.empty() ? 0 : lowered.processes.front().pid,
                                      lowered.processes.empty() ? 0 : lowered.processes.size() - 1);
                 }},
      action);
}

UndoResult look(const UndoAction& action) {
  return std::visit([](const auto& one) { return settle(one, false); }, action);
}

UndoResult undo(const UndoAction& action) {
  return std::visit([](const auto& one) { return settle(one, true); }, action);
}

json to_json(const UndoAction& action) {
  return std::visit(
      Overloaded{[](const ClsactAdded& clsact) {
                   return json{{"clsact", {{"netns", clsact.netns}, {"ifindex", clsact.ifindex}}}};
                 },
                 [](const TcFilterAdded& filter) {
                   return json{{"tc_filter",
                                {{"netns", filter.netns},
                                 {"ifindex", filter.ifindex},
                                 {"egress", filter.egress},
                                 {"priority", filter.priority},
                                 {"handle", filter.handle},
                                 {"program", filter.program}}}};
                 },
                 [](const FileValueChanged& change) {
                   return json{{"file_value",
                                {{"path", change.path},
                                 {"device", change.device},
                                 {"inode", change.inode},
                                 {"before", change.before},
                                 {"written", change.written},
                                 {"key", change.key}}}};
                 },
                 [](const ProcessStopped& stopped) {
                   return json{{"process_stopped", {{"pid", stopped.pid}, {"start_ticks", stopped.start_ticks}}}};
                 },
                 [](const FdLimitsLowered& lowered) {
                   json processes = json::array();
                   for (const FdLimitsLowered::One& one : lowered.processes) {
                     processes.push_back({{"pid", one.pid},
                                          {"start_ticks", one.start_ticks},
                                          {"before", one.before},
                                          {"hard", one.hard},
                                          {"session", one.session},
                                          {"cgroup", one.cgroup}});
                   }
                   return json{{"fd_limits", {{"written", lowered.written}, {"processes", std::move(processes)}}}};
                 }},
      action);
}

Result<UndoAction> undo_action_from(const json& document) {
  try {
    if (document.contains("clsact")) {
      const json& body = document.at("clsact");
      return ClsactAdded{body.at("netns").get<std::uint64_t>(), body.at("ifindex").get<unsigned>()};
    }
    if (document.contains("tc_filter")) {
      const json& body = document.at("tc_filter");
      return TcFilterAdded{body.at("netns").get<std::uint64_t>(),  body.at("ifindex").get<unsigned>(),
                           body.at("egress").get<bool>(),          body.at("priority").get<std::uint32_t>(),
                           body.at("handle").get<std::uint32_t>(), body.at("program").get<std::uint32_t>()};
    }
    if (document.contains("process_stopped")) {
      const json& body = document.at("process_stopped");
      return ProcessStopped{body.at("pid").get<pid_t>(), body.at("start_ticks").get<std::uint64_t>()};
    }
    if (document.contains("fd_limits")) {
      const json& body = document.at("fd_limits");
      FdLimitsLowered lowered{body.at("written").get<std::uint64_t>(), {}};
      for (const json& one : body.at("processes")) {
        lowered.processes.push_back({one.at("pid").get<pid_t>(), one.at("start_ticks").get<std::uint64_t>(),
                                     one.at("before").get<std::uint64_t>(), one.at("hard").get<std::uint64_t>(),
                                     one.at("session").get<pid_t>(), one.at("cgroup").get<std::string>()});
      }
      return lowered;
    }
    const json& body = document.at("file_value");
    return FileValueChanged{body.at("path").get<std::string>(),    body.at("device").get<dev_t>(),
                            body.at("inode").get<ino_t>(),         body.at("before").get<std::string>(),
                            body.at("written").get<std::string>(), body.value("key", std::string())};
  } catch (const json::exception& error) {
    return fail(Errc::kInvalid, std::string("undo record: ") + error.what());
  }
}

}  // namespace chaos
