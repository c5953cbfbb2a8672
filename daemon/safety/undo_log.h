// The undo journal's bytes: framing, checksums, and what a reader makes of a file that was cut off or damaged. Pure
// functions; any thread.
//
// Every entry is written twice, one copy behind the other, each with its own length and CRC-32, and numbered from 1. So
// a damaged copy loses nothing, and what is lost beyond that is noticed by its missing number. A cut-off end is an
// entry whose change had not begun (entries are on disk before the change).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "safety/undo_action.h"

namespace chaos {

enum class UndoMark : std::uint8_t { kIntended, kApplied, kUndone };

struct UndoEntry {
  std::uint64_t number = 0;  ///< of the entry in its file
  std::uint64_t id = 0;      ///< of the change
  UndoMark mark = UndoMark::kIntended;
  UndoAction action{};  ///< of kIntended
};

/// Both copies.
[[nodiscard]] std::string encode(const UndoEntry& entry);

struct UndoLog {
  struct Open {
    std::uint64_t id = 0;
    UndoAction action{};
    bool applied = false;  ///< known to have been made; otherwise it may have been
  };
  std::vector<Open> open;   ///< not undone, oldest first
  std::size_t damaged = 0;  ///< copies that could not be read and have a good twin, or were cut off at the end
  std::uint64_t lost = 0;   ///< entries of which neither copy could be read
  std::uint64_t last_number = 0;
};
[[nodiscard]] UndoLog decode(std::string_view bytes);

}  // namespace chaos
