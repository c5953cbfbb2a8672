// The undo journal: whatever happens to its bytes, nothing is read from it that was not written, and what a single
// damaged place can hide is counted.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "safety/undo_log.h"

namespace {

using chaos::UndoAction;
using chaos::UndoEntry;
using chaos::UndoMark;

UndoAction action_from(FuzzedDataProvider& input) {
  switch (input.ConsumeIntegralInRange(0, 4)) {
    case 0:
      return chaos::ClsactAdded{input.ConsumeIntegral<std::uint64_t>(), input.ConsumeIntegral<unsigned>()};
    case 1:
      return chaos::TcFilterAdded{input.ConsumeIntegral<std::uint64_t>(),
                                  input.ConsumeIntegral<unsigned>(),
                                  input.ConsumeBool(),
                                  input.ConsumeIntegral<std::uint32_t>(),
                                  input.ConsumeIntegral<std::uint32_t>(),
                                  input.ConsumeIntegral<std::uint32_t>()};
    case 2:
      return chaos::ProcessStopped{input.ConsumeIntegral<pid_t>(), input.ConsumeIntegral<std::uint64_t>()};
    case 3: {
      chaos::FdLimitsLowered lowered{input.ConsumeIntegral<std::uint64_t>(), {}};
      for (int i = input.ConsumeIntegralInRange(0, 3); i > 0; --i) {
        lowered.processes.push_back({input.ConsumeIntegral<pid_t>(), input.ConsumeIntegral<std::uint64_t>(),
                                     input.ConsumeIntegral<std::uint64_t>(), input.ConsumeIntegral<std::uint64_t>(),
                                     input.ConsumeIntegral<pid_t>(),
                                     "/" + std::to_string(input.ConsumeIntegral<std::uint8_t>())});
      }
      return lowered;
    }
    default: {
      chaos::FileValueChanged changed;
      changed.path = "/sys/fs/cgroup/" + std::to_string(input.ConsumeIntegral<std::uint8_t>());
      changed.device = input.ConsumeIntegral<std::uint32_t>();
      changed.inode = input.ConsumeIntegral<std::uint64_t>();
      changed.before = std::to_string(input.ConsumeIntegral<std::uint32_t>());
      changed.written = std::to_string(input.ConsumeIntegral<std::uint32_t>());
      if (input.ConsumeBool()) changed.key = std::to_string(input.ConsumeIntegral<std::uint8_t>()) + ":0";
      return changed;
    }
  }
}

struct Journal {
  std::string bytes;
  std::map<std::uint64_t, UndoAction> written;
  std::uint64_t entries = 0;
};

Journal journal_from(FuzzedDataProvider& input) {
  Journal journal;
  std::uint64_t id = 0;
  const auto append = [&journal](UndoEntry entry) {
    entry.number = ++journal.entries;
    journal.bytes += encode(entry);
  };
  for (int i = input.ConsumeIntegralInRange(0, 6); i > 0; --i) {
    const UndoAction action = action_from(input);
    journal.written[++id] = action;
    append({0, id, UndoMark::kIntended, action});
    if (input.ConsumeBool()) append({0, id, UndoMark::kApplied, {}});
    if (input.ConsumeBool()) append({0, id, UndoMark::kUndone, {}});
  }
  return journal;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  if (input.ConsumeBool()) {
    (void)chaos::decode(input.ConsumeRemainingBytesAsString());
    return 0;
  }
  Journal journal = journal_from(input);
  const auto intact = chaos::decode(journal.bytes);
  FUZZ_CHECK(intact.damaged == 0 && intact.lost == 0 && intact.last_number == journal.entries);
  // One place is damaged: another byte, or cut off there.
  const bool cut = input.ConsumeBool();
  if (!journal.bytes.empty()) {
    const auto at = input.ConsumeIntegralInRange<std::size_t>(0, journal.bytes.size() - 1);
    if (cut) {
      journal.bytes.resize(at);
    } else {
      journal.bytes[at] = static_cast<char>(journal.bytes[at] ^ input.ConsumeIntegralInRange(1, 255));
    }
  }
  const auto log = chaos::decode(journal.bytes);
  for (const auto& open : log.open) {
    const auto found = journal.written.find(open.id);
    FUZZ_CHECK(found != journal.written.end() && found->second == open.action);
  }
  if (!cut) {
    // Every entry has a twin: a damaged byte hides none.
    FUZZ_CHECK(log.lost == 0 && log.open.size() == intact.open.size());
  }
  return 0;
}
