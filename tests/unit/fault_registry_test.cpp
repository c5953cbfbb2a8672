// What the configuration knows of kinds (config/kinds) and what this version can inject (fault/registry) are told in
// two layers that do not see each other: here they are compared.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "config/kinds.h"
#include "fault/registry.h"

namespace chaos {
namespace {

TEST(FaultRegistry, EveryKindIsKnownToTheConfigurationAsInEffect) {
  ASSERT_FALSE(fault_kinds().empty());
  for (const FaultKind* kind : fault_kinds()) {
    const KindEntry* entry = find_config_kind(kind->spec.name);
    ASSERT_NE(entry, nullptr) << kind->spec.name;
    EXPECT_TRUE(entry->in_effect) << kind->spec.name;
  }
}

TEST(FaultRegistry, TheConfigurationSaysInEffectOfNoOtherKind) {
  for (const KindEntry& entry : config_kinds()) {
    const auto kinds = fault_kinds();
    const bool registered =
        std::ranges::any_of(kinds, [&](const FaultKind* kind) { return kind->spec.name == entry.name; });
    EXPECT_EQ(entry.in_effect, registered) << entry.name;
  }
}

TEST(FaultRegistry, EveryParameterIsOneThatTheConfigurationKnowsInTheSameForm) {
  for (const FaultKind* kind : fault_kinds()) {
    const KindEntry* entry = find_config_kind(kind->spec.name);
    ASSERT_NE(entry, nullptr);
    for (const ParamSpec& parameter : kind->spec.parameters) {
      const KindParameter* known = find_config_parameter(*entry, parameter.name);
      ASSERT_NE(known, nullptr) << kind->spec.name << '.' << parameter.name;
      EXPECT_EQ(known->form == ParameterForm::kProbability, parameter.type == ParamType::kProbability)
          << parameter.name;
      EXPECT_EQ(known->form == ParameterForm::kChoice, parameter.type == ParamType::kChoice) << parameter.name;
      // Choices that come with later versions may be known already; none may be missing.
      for (const std::string_view choice : parameter.choices) {
        EXPECT_NE(std::ranges::find(known->choices, choice), known->choices.end()) << choice;
      }
    }
  }
}

TEST(FaultRegistry, NamesAreUnique) {
  std::set<std::string_view> names;
  for (const FaultKind* kind : fault_kinds()) EXPECT_TRUE(names.insert(kind->spec.name).second) << kind->spec.name;
  std::set<std::string_view> configured;
  for (const KindEntry& entry : config_kinds()) EXPECT_TRUE(configured.insert(entry.name).second) << entry.name;
}

}  // namespace
}  // namespace chaos
