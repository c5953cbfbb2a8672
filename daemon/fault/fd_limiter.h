// FdLimiter: the soft limit of open files (RLIMIT_NOFILE) lowered for all processes of a target. What they fork has it
// by inheritance. A limit outlives chaosd, so each is on record; the hard limit is never touched.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "fault/host_change.h"
#include "safety/undo_journal.h"

namespace chaos {

/// The limit that leaves 1 - `level` of the descriptors that the process with the most of them has open. No member has
/// it already, so that it tells whose it is. Errors: kNotFound (nothing of the target runs), kRefused (all of them have
/// tighter limits, or may not be looked at).
[[nodiscard]] Result<std::uint64_t> lowered_fd_limit(const ProcessReach& reach, Probability level);

class FdLimiter final : public HostChange {
 public:
  /// Nothing is lowered yet. Errors: as lowered_fd_limit(). `journal` must outlive it.
  static Result<std::unique_ptr<FdLimiter>> create(UndoJournal& journal, const ProcessReach& reach, Probability level);

  Status apply() override;
  void withdraw() override;
  Status finish() override;
  Status follow(const ProcessReach& reach) override;
  void check() override;
  [[nodiscard]] std::vector<std::string> remarks() const override { return remarks_; }
  [[nodiscard]] std::map<std::string, std::string> figures() const override { return figures_; }

 private:
  FdLimiter(UndoJournal& journal, std::uint64_t limit, std::vector<ProcessId> members)
      : journal_(journal), limit_(limit), members_(std::move(members)) {}
  Status lower(const std::vector<ProcessId>& candidates);
  template <class Matches>
  [[nodiscard]] bool any_on_record(const Matches& matches) const;
  [[nodiscard]] bool on_record(const ProcessId& process) const;
  [[nodiscard]] bool has_session(pid_t session) const;
  void remark(std::string text);

  UndoJournal& journal_;
  const std::uint64_t limit_;
  bool applied_ = false;
  std::vector<ProcessId> members_;
  std::vector<std::unique_ptr<JournaledChange>> changes_;
  std::vector<std::string> remarks_;
  std::map<std::string, std::string> figures_;
};

}  // namespace chaos
