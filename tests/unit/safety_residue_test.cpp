// The parts of the residue search that only read file trees; tests/kernel/residue_test.cpp has the rest.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "safety/residue_parts.h"
#include "tests/support/proc_fixture.h"

namespace chaos::residue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Above the kernel's largest pid, so that none is this test's own.
constexpr pid_t kPid = 5'000'000;

std::vector<std::string> ids(const Items& items, std::string_view cls) {
  std::vector<std::string> found;
  for (const ResidueItem& item : items) {
    if (item.cls == cls) found.push_back(item.id);
  }
  return found;
}

class ResidueTest : public testing::Test {
 protected:
  ResidueTest() {
    scope_.instance = "blue";
    scope_.runtime_dir = tree_.path() / "run";
    scope_.proc = proc_.root();
    scope_.cgroup_root = tree_.path() / "cgroup";
    scope_.motd_dir = tree_.path() / "motd.d";
  }
  [[nodiscard]] std::string path(const char* relative) const { return (tree_.path() / relative).string(); }
  [[nodiscard]] Items files() const {
    Items items;
    find_files(scope_, items);
    EXPECT_THAT(ids(items, kUnchecked), IsEmpty());
    return items;
  }

  test::ProcFixture proc_;
  test::TempDir tree_;
  ResidueScope scope_;
};

TEST(ResidueArguments, ChaosdIsKnownByNameAndInstance) {
  EXPECT_TRUE(is_chaosd_of_instance({"/usr/sbin/chaosd", "--instance", "blue"}, "blue"));
  EXPECT_TRUE(is_chaosd_of_instance({"chaosd", "--config", "x", "--instance=blue"}, "blue"));
  EXPECT_TRUE(is_chaosd_of_instance({"chaosd-worker", "--instance", "blue", "cpu"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosd", "--instance", "bluer"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosd", "--instance=blue-2"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosd"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosctl", "--instance", "blue"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosdx", "--instance", "blue"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({"grep", "chaosd", "--instance", "blue"}, "blue"));
  EXPECT_FALSE(is_chaosd_of_instance({}, "blue"));
}

TEST(ResidueArguments, NoInstanceMeansTheDefaultOne) {
  EXPECT_TRUE(is_chaosd_of_instance({"chaosd"}, "default"));
  EXPECT_TRUE(is_chaosd_of_instance({"chaosd", "--instance"}, "default"));
  EXPECT_TRUE(is_chaosd_of_instance({"chaosd", "--instance", "default"}, "default"));
  EXPECT_FALSE(is_chaosd_of_instance({"chaosd", "--instance", "blue"}, "default"));
}

TEST(ResidueNames, MessageOfTheDayNamesOneInstance) {
  EXPECT_TRUE(names_instance("50-chaosd-blue", "blue"));
  EXPECT_TRUE(names_instance("chaosd-blue.txt", "blue"));
  EXPECT_TRUE(names_instance("chaosd-blue-2-chaosd-blue", "blue"));
  EXPECT_FALSE(names_instance("chaosd-blue-2", "blue"));
  EXPECT_FALSE(names_instance("chaosd-bluer", "blue"));
  EXPECT_FALSE(names_instance("chaosd", "blue"));
}

TEST_F(ResidueTest, ProcessesOfTheInstanceThatNoLivingDaemonAccountsFor) {
  proc_.add_process(kPid, "chaosd", 1, {"/usr/sbin/chaosd", "--instance", "blue"});
  proc_.add_process(kPid + 1, "chaosd", kPid, {"chaosd-worker", "--instance", "blue", "cpu"});
  proc_.add_process(kPid + 2, "chaosd", 1, {"chaosd", "--instance", "green"});
  proc_.add_process(kPid + 3, "chaosd", 1, {}, 'Z');
  const std::string first = std::to_string(kPid);
  const std::string second = std::to_string(kPid + 1);

  Items items;
  find_processes(scope_, items);
  EXPECT_THAT(ids(items, kProcess), ElementsAre(first, second));
  EXPECT_EQ(items[1].detail, "chaosd-worker --instance blue cpu");

  scope_.daemon_alive = true;
  scope_.own_pid = kPid;
  items.clear();
  find_processes(scope_, items);
  EXPECT_THAT(ids(items, kProcess), ElementsAre(second));

  scope_.own_processes = {kPid + 1};
  items.clear();
  find_processes(scope_, items);
  EXPECT_THAT(items, IsEmpty());
}

TEST_F(ResidueTest, TheCallerIsNoResidueOfItself) {
  proc_.add_process(::getpid(), "chaosd", 1, {"chaosd", "--instance", "blue"});
  Items items;
  find_processes(scope_, items);
  EXPECT_THAT(items, IsEmpty());
}

TEST_F(ResidueTest, UnreadableProcessListIsReported) {
  scope_.proc = path("no-proc");
  Items items;
  find_processes(scope_, items);
  EXPECT_THAT(ids(items, kUnchecked), ElementsAre("processes"));
}

TEST_F(ResidueTest, CgroupsAnywhereInTheTreesOnceEach) {
  tree_.write("cgroup/memory/chaosd-blue/cgroup.procs", "1\n2\n");
  tree_.write("cgroup/unified/system.slice/deep/chaosd-blue.workers/inner/cgroup.procs", "");
  tree_.write("cgroup/unified/chaosd-bluer/cgroup.procs", "");
  tree_.write("cgroup/unified/chaosd-green/cgroup.procs", "");
  tree_.write("cgroup/unified/chaosd-blue.file-not-directory", "");
  std::filesystem::create_directory_symlink(tree_.path() / "cgroup/memory", tree_.path() / "cgroup/alias");
  Items items;
  find_cgroups(scope_, items);
  EXPECT_THAT(ids(items, kCgroup), UnorderedElementsAre(path("cgroup/memory/chaosd-blue"),
                                                        path("cgroup/unified/system.slice/deep/chaosd-blue.workers")));
  scope_.own_cgroups = {path("cgroup/memory/chaosd-blue"), path("cgroup/unified/system.slice")};
  items.clear();
  find_cgroups(scope_, items);
  EXPECT_THAT(items, IsEmpty());
}

TEST_F(ResidueTest, NothingThereIsNothingLeft) {
  EXPECT_THAT(files(), IsEmpty());
  Items items;
  find_cgroups(scope_, items);
  find_processes(scope_, items);
  EXPECT_THAT(items, IsEmpty());
}

TEST_F(ResidueTest, RuntimeFilesOfADeadDaemonAreResidueButTheStopFileIsNot) {
  for (const char* name : {"chaosd.sock", "chaosd-view.sock", "chaosd.pid", "heartbeat", "STOP", "chaosd.lock"}) {
    tree_.write(std::filesystem::path("run") / name, "");
  }
  std::filesystem::create_directory(tree_.path() / "run/journal");
  EXPECT_THAT(ids(files(), kFile), UnorderedElementsAre(path("run/chaosd.sock"), path("run/chaosd-view.sock"),
                                                        path("run/chaosd.pid"), path("run/heartbeat")));
  scope_.daemon_alive = true;
  EXPECT_THAT(ids(files(), kFile), ElementsAre(path("run/heartbeat")));
  scope_.own_files = {path("run/heartbeat")};
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(ResidueTest, SocketThatSystemdListensOnIsNotOfADeadDaemon) {
  tree_.write("run/chaosd.sock", "");
  tree_.write("run/chaosd-view.sock", "");
  proc_.files().write("net/unix",
                      "Num RefCount Protocol Flags Type St Inode Path\n"
                      "0: 00000002 00000000 00010000 0001 01 77 " +
                          path("run/chaosd.sock") +
                          "\n"
                          "0: 00000003 00000000 00000000 0001 03 78 " +
                          path("run/chaosd-view.sock") + "\n");
  EXPECT_THAT(ids(files(), kFile), ElementsAre(path("run/chaosd-view.sock")));
}

TEST_F(ResidueTest, UndoRecordsAreJournalResidue) {
  tree_.write("run/journal/1.undo", "{}");
  tree_.write("run/journal/2.undo", "{}");
  tree_.write("run/journal/3.undo.tmp", "{}");
  EXPECT_THAT(ids(files(), kJournal), UnorderedElementsAre(path("run/journal/1.undo"), path("run/journal/2.undo")));
  EXPECT_THAT(ids(files(), kFile), ElementsAre(path("run/journal/3.undo.tmp")));
  scope_.daemon_alive = true;
  scope_.own_files = {path("run/journal/1.undo")};
  EXPECT_THAT(ids(files(), kJournal), ElementsAre(path("run/journal/2.undo")));
  EXPECT_THAT(ids(files(), kFile), IsEmpty());
}

TEST_F(ResidueTest, MessageOfTheDayIsAFile) {
  tree_.write("motd.d/50-chaosd-blue", "chaos!");
  tree_.write("motd.d/50-chaosd-green", "chaos!");
  EXPECT_THAT(ids(files(), kFile), ElementsAre(path("motd.d/50-chaosd-blue")));
}

TEST_F(ResidueTest, MessageOfTheDayOfADeadProcessIsResidue) {
  const auto motd = [&](const char* name, pid_t pid) {
    std::filesystem::create_symlink("/proc/" + std::to_string(pid) + "/task/7/../../../../run/chaosd/motd",
                                    tree_.path() / "motd.d" / name);
  };
  tree_.write("run/motd", "chaos!");
  std::filesystem::create_directory(tree_.path() / "motd.d");
  motd("chaosd-blue", kPid);
  motd("chaosd-blue.new", kPid);
  motd("chaosd-green", kPid);
  motd("chaosd", kPid);
  EXPECT_THAT(ids(files(), kFile),
              UnorderedElementsAre(path("run/motd"), path("motd.d/chaosd-blue"), path("motd.d/chaosd-blue.new")));
  scope_.daemon_alive = true;
  scope_.own_pid = kPid;
  EXPECT_THAT(files(), IsEmpty());
  scope_.own_pid = kPid + 1;
  EXPECT_THAT(ids(files(), kFile), UnorderedElementsAre(path("motd.d/chaosd-blue"), path("motd.d/chaosd-blue.new")));
}

TEST_F(ResidueTest, DefaultInstanceHasThePlainMessageOfTheDay) {
  scope_.instance = "default";
  std::filesystem::create_directory(tree_.path() / "motd.d");
  std::filesystem::create_symlink("/proc/5000000/task/7/../../../../run/chaosd/motd", tree_.path() / "motd.d/chaosd");
  EXPECT_THAT(ids(files(), kFile), ElementsAre(path("motd.d/chaosd")));
  std::filesystem::remove(tree_.path() / "motd.d/chaosd");
  tree_.write("motd.d/chaosd", "an admin's");
  EXPECT_THAT(files(), IsEmpty());
}

TEST(FindResidue, RefusesANameThatIsNoInstance) {
  ResidueScope scope;
  scope.instance = "a/b";
  const auto result = find_residue(scope);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::kInvalid);
  EXPECT_EQ(result.error().field, "instance");
}

}  // namespace
}  // namespace chaos::residue
