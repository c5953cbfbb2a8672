// CgroupValues: values in files of cgroups, set for a while: one HostChange for all kinds that are made of them. On
// record in the undo journal, since they outlive chaosd.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fault/host_change.h"
#include "safety/journaled_value.h"
#include "safety/undo_journal.h"

namespace chaos {

struct CgroupValue {
  std::filesystem::path file;
  std::string value;  ///< as it reads back once it is written
};

class CgroupValues final : public HostChange {
 public:
  struct Meaning {
    /// What is to be set where the target is now. Errors: kRefused, kNotFound, kUnsupported, kInternal.
    std::function<Result<std::vector<CgroupValue>>(const ProcessReach&)> find;
    /// Why what is there already stands in the way; empty: it does not. May be empty itself.
    std::function<std::string(const std::string& file, const std::string& before)> in_the_way{};
    /// What is measured of it, where it is set.
    std::function<std::map<std::string, std::string>(const std::vector<std::filesystem::path>&)> measure{};
  };
  /// Nothing is set yet. Errors: as `find`; kRefused for what is in the way.
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
  std::map<std::filesystem::path, JournaledValue> values_;
  std::vector<std::string> remarks_;
  std::map<std::string, std::string> figures_;
};

}  // namespace chaos
