// Which processes a target is, which of them is the main one, and which are never touched.
#include "plan/process_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace chaos {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

Process process(pid_t pid, pid_t parent, std::uint64_t start, const std::string& comm = "thing") {
  Process made;
  made.pid = pid;
  made.parent = parent;
  made.comm = comm;
  made.executable = "/usr/bin/" + comm;
  made.start_ticks = start;
  return made;
}

SocketOwners owners_of(std::vector<pid_t> members) {
  SocketOwners owners;
  owners.name = "service x";
  owners.by = OwnedBy::kProcess;
  owners.cgroups = {{"/", 1, 0}};
  owners.members = std::move(members);
  return owners;
}

TEST(ProcessReach, TheMainProcessIsTheOldestThatNoMemberForked) {
  // 30 is a child of 20; 25 is another root, and younger than 20 though its number is less than 30's.
  const std::vector<Process> all{process(20, 2, 500), process(25, 2, 700), process(30, 20, 100), process(40, 2, 1)};
  const auto reach = process_reach(owners_of({20, 25, 30}), all);
  ASSERT_TRUE(reach) << reach.error().message;
  EXPECT_THAT(reach->members, SizeIs(3));
  EXPECT_EQ(main_process(*reach), (ProcessId{20, 500}));
  EXPECT_TRUE(reach->cgroups.empty());
}

TEST(ProcessReach, CgroupsAreMeantAsAWhole) {
  SocketOwners owners = owners_of({20});
  owners.by = OwnedBy::kCgroup;
  owners.cgroups = {{"/x", 77, 1}};
  const auto reach = process_reach(owners, {process(20, 2, 500)});
  ASSERT_TRUE(reach);
  EXPECT_EQ(reach->cgroups, owners.cgroups);
}

TEST(ProcessReach, NobodyThereHasNoMainProcess) {
  const auto reach = process_reach(owners_of({}), {process(20, 2, 500)});
  ASSERT_TRUE(reach);
  EXPECT_FALSE(main_process(*reach));
}

TEST(ProcessReach, InitChaosdAndSshdAreNeverTouched) {
  const pid_t own = ::getpid();
  const pid_t guardian = own + 1;
  const std::vector<Process> all{process(1, 0, 1, "systemd"), process(7, 1, 2, "sshd"),
                                 process(8, 1, 2, "sshd-session"), process(own, 1, 3, "chaosd"),
                                 process(guardian, own, 4, "chaosd-guardian")};
  for (const pid_t pid : {1, 7, 8, own, guardian}) {
    const auto reach = process_reach(owners_of({pid}), all);
    ASSERT_FALSE(reach) << pid;
    EXPECT_EQ(reach.error().code, Errc::kRefused);
    EXPECT_THAT(reach.error().message, HasSubstr("has process " + std::to_string(pid)));
    EXPECT_EQ(reach.error().field, "target");
    EXPECT_FALSE(reach.error().rule.empty());
  }
}

}  // namespace
}  // namespace chaos
