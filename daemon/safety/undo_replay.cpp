#include "safety/undo_replay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <ranges>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "safety/undo_journal.h"
#include "safety/undo_log.h"

namespace chaos {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kLockPatience = 5s;

/// The journal's directory, locked; invalid if there is none.
Result<UniqueFd> lock_directory(const std::filesystem::path& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return errno == ENOENT ? Result<UniqueFd>(UniqueFd()) : fail_errno("open " + directory.string());
  const auto until = system_clock().monotonic() + kLockPatience;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno("lock " + directory.string());
    if (system_clock().monotonic() >= until) {
      return fail(Errc::kUnavailable, "somebody else is replaying " + directory.string());
    }
    (void)::poll(nullptr, 0, 5);
  }
  return fd;
}

void report(const std::filesystem::path& directory, const UndoReplay& replay, std::string_view by) {
  json line = to_json(replay);
  line["by"] = by;
  line["time"] = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::ofstream file(directory / kUndoReportFile, std::ios::app);
  file << line.dump(-1, ' ', false, json::error_handler_t::replace) << '\n';
}

}  // namespace

bool UndoReplay::complete() const {
  return lost == 0 &&
         std::ranges::none_of(items, [](const Item& item) { return item.result.outcome == UndoOutcome::kFailed; });
}

json to_json(const UndoReplay& replay) {
  json items = json::array();
  for (const UndoReplay::Item& item : replay.items) {
    items.push_back(
        {{"change", item.change}, {"outcome", to_string(item.result.outcome)}, {"detail", item.result.detail}});
  }
  return {{"complete", replay.complete()},
          {"changes", std::move(items)},
          {"damaged_copies", replay.damaged},
          {"lost_records", replay.lost}};
}

std::string daemon_identity(const std::filesystem::path& runtime_dir) {
  std::ifstream file(runtime_dir / "chaosd.pid");
  std::string line;
  std::getline(file, line);
  return line;
}

Result<UndoReplay> replay_undo(const std::filesystem::path& runtime_dir, ReplayMode mode, std::string_view by,
                               std::string_view of_daemon) {
  const auto directory = undo_directory(runtime_dir);
  const auto lock = lock_directory(directory);
  if (!lock) return std::unexpected(lock.error());
  UndoReplay replay;
  // Under the lock: a newer chaosd names itself first, and settles the journal under the same lock after that.
  const std::string holder = daemon_identity(runtime_dir);
  if (!of_daemon.empty() && !holder.empty() && holder != of_daemon) return replay;
  const auto path = undo_file(runtime_dir);
  std::ifstream file(path, std::ios::binary);
  if (!lock->valid() || !file) return replay;
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const UndoLog log = decode(bytes);
  replay.damaged = log.damaged;
  replay.lost = log.lost;
  for (const UndoLog::Open& open : std::views::reverse(log.open)) {
    replay.items.push_back(
        {describe(open.action), mode == ReplayMode::kDryRun ? look(open.action) : undo(open.action)});
  }
  if (mode != ReplayMode::kAfterDeath) return replay;
  report(directory, replay, by);
  std::error_code error;
  if (replay.complete()) {
    std::filesystem::remove(path, error);
  } else if (replay.lost > 0 && std::ranges::none_of(replay.items, [](const auto& item) {
               return item.result.outcome == UndoOutcome::kFailed;
             })) {
    // Done is what could be done. It stays as evidence, and as residue, until somebody has looked.
    std::filesystem::rename(path, directory / "damaged.undo", error);
  }
  if (error) return fail(Errc::kInternal, "settle " + path.string() + ": " + error.message());
  return replay;
}

std::vector<json> take_undo_reports(const std::filesystem::path& runtime_dir) {
  const auto path = undo_directory(runtime_dir) / kUndoReportFile;
  std::vector<json> reports;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    json document = json::parse(line, nullptr, false);
    if (document.is_object()) reports.push_back(std::move(document));
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return reports;
}

}  // namespace chaos
