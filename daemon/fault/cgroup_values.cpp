#include "fault/cgroup_values.h"

#include <set>

#include "base/contains.h"

namespace chaos {

Result<std::unique_ptr<CgroupValues>> CgroupValues::create(UndoJournal& journal, const ProcessReach& reach,
                                                           Meaning meaning) {
  std::unique_ptr<CgroupValues> made(new CgroupValues(journal, std::move(meaning)));
  const auto wanted = made->meaning_.find(reach);
  if (!wanted) return std::unexpected(wanted.error());
  for (const CgroupValue& value : *wanted) {
    if (Status status = made->add(value); !status) return std::unexpected(status.error());
  }
  return made;
}

Status CgroupValues::add(const CgroupValue& wanted) {
  auto value = JournaledValue::open(journal_, wanted.file, wanted.value);
  if (!value) return std::unexpected(value.error());
  const std::string why =
      meaning_.in_the_way ? meaning_.in_the_way(wanted.file.string(), value->before()) : std::string();
  if (!why.empty()) {
    return fail(Errc::kRefused, why, "target", "what somebody else has set is left to them",
                "undo it first, or aim at something else");
  }
  values_.emplace(wanted.file, std::move(*value));
  return {};
}

Status CgroupValues::apply() {
  applied_ = true;
  bool any = values_.empty();
  Status last;
  for (auto& [file, value] : values_) {
    Status status = value.set();
    any = any || status;
    if (status) continue;
    const bool lost = status.error().code == Errc::kRefused || status.error().code == Errc::kNotFound;
    if (lost) forget(value);
    last = std::move(status);
    if (lost) continue;
    any = false;
    break;
  }
  if (any) return {};
  withdraw();
  return last;
}

void CgroupValues::withdraw() {
  applied_ = false;
  for (auto& [file, value] : values_) {
    if (!value.reset()) forget(value);
  }
}

Status CgroupValues::finish() {
  Status status;
  for (auto& [file, value] : values_) {
    const UndoResult result = value.finish();
    if (result.outcome == UndoOutcome::kTheirs) remark(result.detail);
    if (result.outcome == UndoOutcome::kFailed) status = fail(Errc::kInternal, file.string() + ": " + result.detail);
  }
  values_.clear();
  return status;
}

Status CgroupValues::follow(const ProcessReach& reach) {
  // Away for now: what is set stays for when it comes back, unless its cgroup goes.
  std::erase_if(values_, [](auto& entry) { return entry.second.gone(); });
  if (reach.members.empty()) return {};
  const auto wanted = meaning_.find(reach);
  if (!wanted) return std::unexpected(wanted.error());
  std::set<std::filesystem::path> files;
  for (const CgroupValue& value : *wanted) {
    files.insert(value.file);
    if (values_.contains(value.file)) continue;
    Status status = add(value);
    if (status && applied_) status = values_.at(value.file).set();
    if (!status) remark(status.error().message);
  }
  // What the target has left is not its own any more.
  std::erase_if(values_, [&](const auto& entry) { return !files.contains(entry.first); });
  return {};
}

void CgroupValues::check() {
  std::vector<std::filesystem::path> set;
  for (auto& [file, value] : values_) {
    if (value.gone()) continue;
    if (value.check()) {
      set.push_back(file);
    } else {
      forget(value);
    }
  }
  if (meaning_.measure && applied_) figures_ = meaning_.measure(set);
}

/// It is somebody else's by now: what we wrote is off the record, what is there stays.
void CgroupValues::forget(JournaledValue& value) {
  if (!value.conflict().empty()) remark(value.conflict());
  (void)value.finish();
}

void CgroupValues::remark(std::string text) {
  if (!contains(remarks_, text)) remarks_.push_back(std::move(text));
}

}  // namespace chaos
