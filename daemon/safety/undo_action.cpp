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

namespace chaos {
namespace {

using nlohmann::json;

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

TcSide side_of(const TcFilterAdded& filter) { return filter.egress ? TcSide::kEgress : TcSide::kIngress; }

UndoResult failed(const Error& error) { return {UndoOutcome::kFailed, error.message}; }

/// Runs `job` inside the namespace, if it still lives.
template <class Job>
UndoResult inside(std::uint64_t netns, const Job& job) {
  const auto found = Netns::find(netns);
  if (!found) {
    return found.error().code == Errc::kNotFound ? UndoResult{UndoOutcome::kGone, found.error().message}
                                                 : failed(found.error());
  }
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

Result<std::string> read_value(int fd) {
  std::string text(65536, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  if (got < 0) return fail_errno("read the value");
  text.resize(static_cast<std::size_t>(got));
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

UndoResult settle(const FileValueChanged& change, bool act) {
  const UniqueFd fd(::open(change.path.c_str(), (act ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid() && (errno == ENOENT || errno == ENODEV || errno == ENOTDIR)) {
    return {UndoOutcome::kGone, change.path + " is gone"};
  }
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) return failed(fail_errno("open " + change.path).error());
  if (status.st_dev != change.device || status.st_ino != change.inode) {
    return {UndoOutcome::kGone, change.path + " is another object by now"};
  }
  const auto now = read_value(fd.get());
  if (!now) return failed(now.error());
  if (*now == change.before) return {UndoOutcome::kNotNeeded, {}};
  if (*now != change.written) {
    return {UndoOutcome::kTheirs, fmt::format("it reads '{}', and we wrote '{}'", *now, change.written)};
  }
  if (!act) return {UndoOutcome::kUndone, {}};
  if (::ftruncate(fd.get(), 0) != 0 && errno != EINVAL && errno != EPERM) {
    return failed(fail_errno("write " + change.path).error());
  }
  const ssize_t written = ::pwrite(fd.get(), change.before.data(), change.before.size(), 0);
  if (written != static_cast<ssize_t>(change.before.size())) {
    return failed(fail_errno("write " + change.path).error());
  }
  return {UndoOutcome::kUndone, {}};
}

UndoResult settle(const ProcessStopped& stopped, bool act) {
  const auto process = ProcessHandle::open({stopped.pid, stopped.start_ticks});
  if (!process) {
    return process.error().code == Errc::kNotFound ? UndoResult{UndoOutcome::kGone, process.error().message}
                                                   : failed(process.error());
  }
  const UndoResult seen{proc::is_stopped("/proc", stopped.pid) ? UndoOutcome::kUndone : UndoOutcome::kNotNeeded, {}};
  if (!act) return seen;
  // Sent in any case: between the arrival of a SIGSTOP and the halt of the last thread nothing of it can be seen.
  const Status sent = process->signal(SIGCONT);
  if (sent) return seen;
  return sent.error().code == Errc::kNotFound ? UndoResult{UndoOutcome::kGone, sent.error().message}
                                              : failed(sent.error());
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
                   return fmt::format("{}: '{}' back to '{}'", change.path, change.written, change.before);
                 },
                 [](const ProcessStopped& stopped) { return fmt::format("process {} stopped", stopped.pid); }},
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
                                 {"written", change.written}}}};
                 },
                 [](const ProcessStopped& stopped) {
                   return json{{"process_stopped", {{"pid", stopped.pid}, {"start_ticks", stopped.start_ticks}}}};
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
    const json& body = document.at("file_value");
    return FileValueChanged{body.at("path").get<std::string>(), body.at("device").get<dev_t>(),
                            body.at("inode").get<ino_t>(), body.at("before").get<std::string>(),
                            body.at("written").get<std::string>()};
  } catch (const json::exception& error) {
    return fail(Errc::kInvalid, std::string("undo record: ") + error.what());
  }
}

}  // namespace chaos
