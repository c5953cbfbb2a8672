// CgroupValues: values in files of cgroups, set for a while: one HostChange for all kinds that are made of them. On
// record in the undo journal, since they outlive chaosd.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fault/host_change.h"
#include "safety/journaled_value.h"
#include "safety/kernel_value.h"
#include "safety/undo_journal.h"

namespace chaos {

struct CgroupValue {
  ValuePlace place;
  std::string value;  ///< as it reads back once it is written
};

/// "50000 100000 in /sys/fs/cgroup/a/cpu.max" of each, for people.
[[nodiscard]] std::string describe(const std::vector<CgroupValue>& values);

class CgroupValues final : public HostChange {
 public:
  struct Meaning {
    /// Which values are the target's, where it is now. Errors: kRefused, kNotFound, kUnsupported, kInternal.
    std::function<Result<std::vector<ValuePlace>>(const ProcessReach&)> where;
    /// What it is to be set to, as long as it is not ours. Errors: kRefused (what is there stays as it is: it is
    /// tighter already, or set by somebody else), kInternal.
    std::function<Result<std::string>(const ValuePlace&)> value;
    /// What is measured of it, in the cgroups where it is set.
    std::function<std::map<std::string, std::string>(const std::set<std::filesystem::path>& directories)> measure{};
  };
  /// What would be set. Errors: as `where`; those of `value` if there is none that can be set.
  static Result<std::vector<CgroupValue>> wanted(const Meaning& meaning, const ProcessReach& reach);

  /// Nothing is set yet. Errors: as wanted().
  static Result<std::unique_ptr<CgroupValues>> create(UndoJournal& journal, const ProcessReach& reach, Meaning meaning);

  Status apply() override;
  void withdraw() override;
  Status finish() override;
  Status follow(const ProcessReach& reach) override;
  void check() override;
  [[nodiscard]] std::vector<std::string> remarks() const override { return remarks_; }
  [[nodiscard]] std::map<std::string, std::string> figures() const override { return figures_; }

 private:
  CgroupValues(UndoJournal& journal, Meaning meaning) : journal_(journal), meaning_(std::move(meaning)) {}
  Status add(const CgroupValue& wanted);
  void forget(JournaledValue& value);
  void remark(std::string text);

  UndoJournal& journal_;
  const Meaning meaning_;
  bool applied_ = false;
  std::map<ValuePlace, JournaledValue> values_;
  std::vector<std::string> remarks_;
  std::map<std::string, std::string> figures_;
};

}  // namespace chaos
