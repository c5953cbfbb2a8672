#include <gtest/gtest.h>

#include "base/instance.h"

namespace chaos {
namespace {

TEST(Instance, NamesHaveNoDotNoSlashAndAreShort) {
  EXPECT_TRUE(is_instance_name("default"));
  EXPECT_TRUE(is_instance_name("Test_1-b"));
  EXPECT_TRUE(is_instance_name(std::string(32, 'a')));
  EXPECT_FALSE(is_instance_name(std::string(33, 'a')));
  EXPECT_FALSE(is_instance_name(""));
  EXPECT_FALSE(is_instance_name("a.b"));
  EXPECT_FALSE(is_instance_name("a/b"));
  EXPECT_FALSE(is_instance_name("a b"));
  EXPECT_FALSE(is_instance_name("ä"));
}

// FNV-1a 32 of "" is 0x811c9dc5, of "a" 0xe40c292c, of "foobar" 0xbf9cf968 (draft-eastlake-fnv, test vectors).
TEST(Instance, TagIsTheFoldedHashOfTheName) {
  EXPECT_EQ(instance_tag(""), "1cd9");
  EXPECT_EQ(instance_tag("a"), "cd20");
  EXPECT_EQ(instance_tag("foobar"), "46f4");
}

TEST(Instance, NamesOfObjectsFitTheKernelsFifteenCharacters) {
  EXPECT_EQ(bpf_name_prefix("a"), "chaos_cd20_");
  EXPECT_EQ(device_name_prefix("a"), "chaosd-cd20-");
}

TEST(Instance, MessageOfTheDayOfTheDefaultOneHasThePlainName) {
  EXPECT_EQ(motd_name("default"), "chaosd");
  EXPECT_EQ(motd_name("a"), "chaosd-a");
}

TEST(Instance, PathNameIsTheInstanceOrHasADotAfterIt) {
  EXPECT_TRUE(is_instance_path_name("chaosd-a", "a"));
  EXPECT_TRUE(is_instance_path_name("chaosd-a.workers", "a"));
  EXPECT_FALSE(is_instance_path_name("chaosd-ab", "a"));
  EXPECT_FALSE(is_instance_path_name("chaosd-a-b", "a"));
  EXPECT_FALSE(is_instance_path_name("xchaosd-a", "a"));
}

}  // namespace
}  // namespace chaos
