// ProcessStopper: single processes brought to a halt by SIGSTOP, with what they fork, and let go by SIGCONT. A stop
// outlives chaosd, so each is on record.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "fault/host_change.h"
#include "safety/undo_journal.h"

namespace chaos {

class ProcessStopper final : public HostChange {
 public:
  /// Nothing is halted yet. `quick`: for short pulses; children are found by follow() alone then, and not before a
  /// pulse as well.
  ProcessStopper(UndoJournal& journal, const ProcessReach& reach, bool quick)
      : journal_(journal), quick_(quick), members_(reach.members) {}

  Status apply() override;
  void withdraw() override;
  Status finish() override;
  Status follow(const ProcessReach& reach) override;
  void check() override;
  [[nodiscard]] std::vector<std::string> remarks() const override { return remarks_; }
  [[nodiscard]] std::map<std::string, std::string> figures() const override;

 private:
  Status stop_all();
  Status stop(const ProcessId& id);
  void remark(std::string text);

  UndoJournal& journal_;
  const bool quick_;
  bool applied_ = false;
  std::vector<ProcessId> members_;                ///< to be stopped
  std::map<ProcessId, JournaledChange> stopped_;  ///< on record; between pulses they run
  std::size_t halted_ = 0;                        ///< of `looked_at_`, seen at a halt by the last check
  std::size_t looked_at_ = 0;
  std::vector<std::string> remarks_;
};

}  // namespace chaos
