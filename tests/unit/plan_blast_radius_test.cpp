#include "plan/blast_radius.h"

#include <gtest/gtest.h>

namespace chaos::test {
namespace {

Population three() {
  return {.of = "configured services",
          .members = {{"service a", 1.0, {10}}, {"service b", 1.0, {10, 11}}, {"service c", 2.0, {12}}}};
}

Footprint of(std::vector<Member> members) { return {.everything = false, .members = std::move(members)}; }

double share(const std::vector<Footprint>& footprints) { return blast_share(three(), footprints); }

TEST(BlastRadius, IsTheWeightOfWhatIsTouchedByTheWeightOfAll) {
  EXPECT_DOUBLE_EQ(share({}), 0.0);
  EXPECT_DOUBLE_EQ(share({of({{"service a"}})}), 0.25);
  EXPECT_DOUBLE_EQ(share({of({{"service c"}})}), 0.5) << "the weight is the population's";
  EXPECT_DOUBLE_EQ(share({of({{"service a"}, {"service b"}, {"service c"}})}), 1.0);
}

TEST(BlastRadius, WhatTwoTouchCountsOnce) {
  EXPECT_DOUBLE_EQ(share({of({{"service a"}}), of({{"service a"}})}), 0.25);
  EXPECT_DOUBLE_EQ(share({of({{"service a"}}), of({{"service b"}})}), 0.5);
}

TEST(BlastRadius, WhatBelongsToNoneCountsAboveAndBelowTheLine) {
  EXPECT_DOUBLE_EQ(share({of({{"network namespace 7"}})}), 1.0 / 5);
  EXPECT_DOUBLE_EQ(share({of({{"network namespace 7"}}), of({{"network namespace 8"}})}), 2.0 / 6);
  EXPECT_DOUBLE_EQ(share({of({{"network namespace 7"}}), of({{"network namespace 7"}})}), 1.0 / 5);
}

TEST(BlastRadius, WhatAllShareIsAll) {
  EXPECT_DOUBLE_EQ(share({Footprint{.everything = true, .members = {}}}), 1.0);
  EXPECT_DOUBLE_EQ(share({of({{"service a"}}), Footprint{.everything = true, .members = {}}}), 1.0);
}

TEST(BlastRadius, OfNothingAtAll) { EXPECT_DOUBLE_EQ(blast_share({}, {}), 0.0); }

TEST(BlastRadius, MembersOfANamespace) {
  const auto inside = three().in_netns(10);
  ASSERT_EQ(inside.size(), 2U);
  EXPECT_EQ(inside[0].name, "service a");
  EXPECT_EQ(inside[1].name, "service b");
  EXPECT_TRUE(three().in_netns(99).empty());
}

TEST(BlastRadius, SharesPrintSoThatADifferenceShows) {
  EXPECT_EQ(format_share(0.3), "0.30");
  EXPECT_EQ(format_share(1.0), "1.00");
  EXPECT_EQ(format_share(0.3004, 0.3), "0.3004");
}

}  // namespace
}  // namespace chaos::test
