#include "fault/cgroup_values.h"

#include <fmt/format.h>

#include "base/contains.h"

namespace chaos {

std::string describe(const std::vector<CgroupValue>& values) {
  std::string text;
  for (const CgroupValue& value : values) {
    text += fmt::format("{}{} in {}", text.empty() ? "" : ", ", value.value, describe(value.place));
  }
  return text;
}

Result<std::vector<CgroupValue>> CgroupValues::wanted(const Meaning& meaning, const ProcessReach& reach) {
  const auto places = meaning.where(reach);
  if (!places) return std::unexpected(places.error());
  std::vector<CgroupValue> wanted;
  Status refused;
  for (const ValuePlace& place : *places) {
    auto value = meaning.value(place);
    if (value) {
      wanted.push_back({place, std::move(*value)});
    } else if (value.error().code == Errc::kRefused) {
      refused = with_context(describe(place), value.error());
    } else {
      return with_context(describe(place), value.error());
    }
  }
  if (wanted.empty() && !refused) return std::unexpected(refused.error());
  return wanted;
}

Result<std::unique_ptr<CgroupValues>> CgroupValues::create(UndoJournal& journal, const ProcessReach& reach,
                                                           Meaning meaning) {
  std::unique_ptr<CgroupValues> made(new CgroupValues(journal, std::move(meaning)));
  const auto values = wanted(made->meaning_, reach);
  if (!values) return std::unexpected(values.error());
  for (const CgroupValue& value : *values) {
    if (Status status = made->add(value); !status) return std::unexpected(status.error());
  }
  return made;
}

Status CgroupValues::add(const CgroupValue& wanted) {
  auto value = JournaledValue::open(journal_, wanted.place, wanted.value);
  if (!value) return std::unexpected(value.error());
  values_.emplace(wanted.place, std::move(*value));
  return {};
}

Status CgroupValues::apply() {
  applied_ = true;
  bool any = values_.empty();
  Status last;
  for (auto& [place, value] : values_) {
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
  for (auto& [place, value] : values_) {
    if (!value.reset()) forget(value);
  }
}

Status CgroupValues::finish() {
  Status status;
  for (auto& [place, value] : values_) {
    const UndoResult result = value.finish();
    if (result.outcome == UndoOutcome::kTheirs) remark(result.detail);
    if (result.outcome == UndoOutcome::kFailed) status = fail(Errc::kInternal, describe(place) + ": " + result.detail);
  }
  values_.clear();
  return status;
}

Status CgroupValues::follow(const ProcessReach& reach) {
  // Away for now: what is set stays for when it comes back, unless its cgroup goes.
  std::erase_if(values_, [](auto& entry) { return entry.second.gone(); });
  if (reach.members.empty()) return {};
  const auto places = meaning_.where(reach);
  if (!places) return std::unexpected(places.error());
  for (const ValuePlace& place : *places) {
    if (values_.contains(place)) continue;
    const auto value = meaning_.value(place);
    Status status = value ? add({place, *value}) : std::unexpected(value.error());
    if (status && applied_) status = values_.at(place).set();
    if (!status) remark(status.error().message);
  }
  // What the target has left is not its own any more.
  std::erase_if(values_, [&](const auto& entry) { return !contains(*places, entry.first); });
  return {};
}

void CgroupValues::check() {
  std::set<std::filesystem::path> directories;
  for (auto& [place, value] : values_) {
    if (value.gone()) continue;
    if (value.check()) {
      directories.insert(std::filesystem::path(place.path).parent_path());
    } else {
      forget(value);
    }
  }
  if (meaning_.measure && applied_) figures_ = meaning_.measure(directories);
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
