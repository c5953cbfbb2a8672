// Replay of the undo journal, by whoever comes first after chaosd's death: the guardian, ExecStopPost= and the operator
// (chaosctl undo), the next chaosd. One at a time (a lock on the directory); twice does no harm. Needs root; blocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "safety/undo_action.h"

namespace chaos {

enum class ReplayMode : std::uint8_t {
  kDryRun,      ///< look only
  kDuringHang,  ///< undo, and leave the records: a chaosd that comes back may make one more change
  kAfterDeath,  ///< undo and settle: the file goes when nothing is left to do
};

struct UndoReplay {
  struct Item {
    std::string change;  ///< describe()
    UndoResult result;
  };
  std::vector<Item> items;  ///< latest change first, as they are undone
  std::size_t damaged = 0;  ///< copies that could not be read; nothing is lost by them
  std::uint64_t lost = 0;   ///< records that could not be read at all

  /// Nothing is left of any change that was on record.
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool empty() const { return items.empty() && lost == 0; }
};
[[nodiscard]] nlohmann::json to_json(const UndoReplay& replay);

/// The pid file of the chaosd that holds this runtime directory ("PID STARTTIME"); empty if there is none.
[[nodiscard]] std::string daemon_identity(const std::filesystem::path& runtime_dir);

/// Undoes what the journal of this runtime directory says. `by`: who does it, for the report that the next chaosd
/// takes into its audit. `of_daemon`: daemon_identity() of the chaosd whose changes are meant; when another one holds
/// the directory by now, nothing is done, since that one settles the journal before it writes a record of its own.
/// Empty: whoever's they are. A journal that lost records is kept as damaged.undo. Errors: kInternal (lock, disk),
/// kUnavailable (somebody else has held the lock for 5 s).
Result<UndoReplay> replay_undo(const std::filesystem::path& runtime_dir, ReplayMode mode, std::string_view by,
                               std::string_view of_daemon = {});

/// What replays have reported since the last call, oldest first, one JSON object each (by, time, and as to_json).
/// Clears it.
std::vector<nlohmann::json> take_undo_reports(const std::filesystem::path& runtime_dir);

/// In the journal's directory, and no residue: it changes nothing and holds nothing.
inline constexpr std::string_view kUndoReportFile = "report.jsonl";

}  // namespace chaos
