// Services found in a /proc of the test's own.
#include "plan/services.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/proc_fixture.h"

namespace chaos::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kBoot = 1'700'000'000;

Service by(std::string Service::*place, const std::string& value) {
  Service service;
  service.*place = value;
  return service;
}

Service with_port(Service service, std::uint16_t port) {
  service.ports.push_back(port);
  return service;
}

class ServicesTest : public ::testing::Test {
 protected:
  struct Spec {
    pid_t pid;
    std::string comm;
    std::string cgroup = "0::/\n";
    pid_t parent = 1;
    uid_t uid = 0;
    std::uint64_t netns = 100;
    std::string executable = "/usr/bin/thing";
    bool user = true;
    char state = 'S';
    unsigned started_s = 10;  ///< after boot
  };
  void add(const Spec& spec) const {
    proc_.add_process(spec.pid, spec.comm, spec.parent);
    const auto ticks = static_cast<std::uint64_t>(spec.started_s) * static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
    proc_.write(spec.pid, "stat",
                std::to_string(spec.pid) + " (" + spec.comm + ") " + spec.state + " " + std::to_string(spec.parent) +
                    " 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " + std::to_string(ticks) + " 0\n");
    const std::string uid = std::to_string(spec.uid);
    proc_.write(spec.pid, "status",
                "Name:\t" + spec.comm + "\nUid:\t9\t" + uid + "\t" + uid + "\t" + uid + "\n" +
                    (spec.user ? "VmSize:\t 1 kB\n" : ""));
    proc_.write(spec.pid, "cgroup", spec.cgroup);
    proc_.link(spec.pid, "exe", spec.executable);
    proc_.link(spec.pid, "ns/net", "net:[" + std::to_string(spec.netns) + "]");
  }
  [[nodiscard]] std::vector<Process> processes() const {
    auto all = list_user_processes(proc_.root());
    EXPECT_TRUE(all) << all.error().message;
    return all.value_or(std::vector<Process>{});
  }
  [[nodiscard]] ServiceState resolve(const Service& service) const {
    return resolve_services({{"s", service}}, processes(), {.proc = proc_.root()}).front();
  }

  ProcFixture proc_;
};

TEST_F(ServicesTest, ProcessesAreThoseOfUsersThatRun) {
  add({.pid = 2, .comm = "kthreadd", .user = false});
  add({.pid = 10, .comm = "alive", .uid = 33, .netns = 7, .executable = "/usr/sbin/alive (deleted)"});
  add({.pid = 11, .comm = "dead", .state = 'Z'});
  const auto all = processes();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].pid, 10);
  EXPECT_EQ(all[0].uid, 33U);
  EXPECT_EQ(all[0].comm, "alive");
  EXPECT_EQ(all[0].executable, "/usr/sbin/alive");
  EXPECT_EQ(all[0].netns, 7U);
}

TEST(Cgroup, ThePathThatCounts) {
  EXPECT_EQ(cgroup_of("0::/system.slice/x.service\n"), "/system.slice/x.service");
  EXPECT_EQ(cgroup_of("2:cpu:/c\n1:name=systemd:/system.slice/x.service\n0::/\n"), "/system.slice/x.service");
  EXPECT_EQ(cgroup_of("2:cpu:/c\n1:name=systemd:/s\n0::/v2\n"), "/v2");
  EXPECT_EQ(cgroup_of("3:memory:/docker/abc\n2:cpu:/\n0::/\n"), "/docker/abc");
  EXPECT_EQ(cgroup_of("0::/\n"), "/");
  EXPECT_EQ(cgroup_of(""), "/");
  EXPECT_EQ(cgroup_of("0::/with:colon\n"), "/with:colon");
}

TEST(Cgroup, ContainsItselfAndWhatIsBelow) {
  EXPECT_TRUE(cgroup_contains("/a", "/a"));
  EXPECT_TRUE(cgroup_contains("/a", "/a/b"));
  EXPECT_TRUE(cgroup_contains("/a/", "/a/b"));
  EXPECT_TRUE(cgroup_contains("/", "/a"));
  EXPECT_FALSE(cgroup_contains("/a", "/ab"));
  EXPECT_FALSE(cgroup_contains("/a/b", "/a"));
}

TEST_F(ServicesTest, ByUnitWithWhatIsBelowIt) {
  add({.pid = 10, .comm = "nginx", .cgroup = "0::/system.slice/nginx.service\n", .netns = 5});
  add({.pid = 11, .comm = "worker", .cgroup = "0::/system.slice/nginx.service/sub\n", .netns = 6});
  add({.pid = 12, .comm = "other", .cgroup = "0::/system.slice/my-nginx.service\n"});
  const ServiceState state = resolve(with_port(by(&Service::unit, "nginx.service"), 80));
  EXPECT_THAT(state.pids, ElementsAre(10, 11));
  EXPECT_THAT(state.netns, ElementsAre(5, 6));
  EXPECT_THAT(state.ports, ElementsAre(80));
  EXPECT_EQ(state.cgroup, "/system.slice/nginx.service");
  EXPECT_EQ(state.place, "unit nginx.service");
  EXPECT_EQ(state.problem, "");
}

TEST_F(ServicesTest, UnitsOfContainersAndOfUsersAreNotThisHosts) {
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/system-web.slice/nginx.service\n"});
  add({.pid = 11, .comm = "b", .cgroup = "0::/machine.slice/machine-x.scope/payload/system.slice/nginx.service\n"});
  add({.pid = 12, .comm = "c", .cgroup = "0::/system.slice/docker-0123456789ab.scope/system.slice/nginx.service\n"});
  add({.pid = 13, .comm = "d", .cgroup = "0::/user.slice/user-1.slice/user@1.service/app.slice/nginx.service\n"});
  EXPECT_THAT(resolve(by(&Service::unit, "nginx.service")).pids, ElementsAre(10));
}

TEST_F(ServicesTest, ByCgroup) {
  add({.pid = 10, .comm = "a", .cgroup = "0::/demo/a\n"});
  add({.pid = 11, .comm = "b", .cgroup = "0::/demo/a/deep\n"});
  add({.pid = 12, .comm = "c", .cgroup = "0::/demo/ab\n"});
  EXPECT_THAT(resolve(by(&Service::cgroup, "/demo/a")).pids, ElementsAre(10, 11));
}

TEST_F(ServicesTest, ByContainerIdInTheNamesOfAllRuntimes) {
  const std::string id = "0123456789abcdef";
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/docker-" + id + "99.scope\n"});
  add({.pid = 11, .comm = "b", .cgroup = "5:cpu:/docker/" + id + "99\n0::/\n"});
  add({.pid = 12, .comm = "c", .cgroup = "0::/machine.slice/libpod-" + id + "99.scope/container\n"});
  add({.pid = 13, .comm = "d", .cgroup = "0::/kubepods/besteffort/cri-containerd-" + id + "99.scope\n"});
  add({.pid = 14, .comm = "e", .cgroup = "0::/system.slice/docker-ff" + id + ".scope\n"});
  add({.pid = 15, .comm = "conmon", .cgroup = "0::/machine.slice/libpod-conmon-" + id + "99.scope\n"});
  EXPECT_THAT(resolve(by(&Service::container, id)).pids, ElementsAre(10, 11, 12, 13));
}

/// /var/lib as container tools keep it: what `web` is to Docker and to Podman, and a container of each beside it.
class ContainerNamesTest : public ServicesTest {
 protected:
  static std::string id(char digit) { return std::string(64, digit); }
  static std::string scope(const std::string& id) { return "0::/machine.slice/libpod-" + id + ".scope/container\n"; }
  void docker(const std::string& id, const std::string& name) const {
    dir_.write("docker/containers/" + id + "/config.v2.json", R"({"ID":")" + id + R"(","Name":"/)" + name + R"("})");
  }
  void podman(const std::string& id, const std::string& name) const {
    dir_.write("containers/storage/overlay-containers/containers.json",
               R"([{"id":")" + other() + R"(","names":["other"]},{"id":")" + id + R"(","names":[")" + name + R"("]}])");
  }
  static std::string other() { return std::string(64, '9'); }
  [[nodiscard]] ServiceState find(const std::string& container) const {
    return resolve_services({{"s", by(&Service::container, container)}}, processes(),
                            {.proc = proc_.root(), .var_lib = dir_.path()})
        .front();
  }
  TempDir dir_;
};

TEST_F(ContainerNamesTest, OfDocker) {
  docker(id('a'), "web");
  docker(id('b'), "web2");
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/docker-" + id('a') + ".scope\n"});
  add({.pid = 11, .comm = "b", .cgroup = "0::/system.slice/docker-" + id('b') + ".scope\n"});
  EXPECT_THAT(find("web").pids, ElementsAre(10));
  EXPECT_EQ(find("web").place, "container web (aaaaaaaaaaaa)");
}

TEST_F(ContainerNamesTest, OfPodman) {
  podman(id('c'), "web");
  add({.pid = 10, .comm = "a", .cgroup = scope(id('c'))});
  add({.pid = 11, .comm = "b", .cgroup = scope(id('9'))});
  EXPECT_THAT(find("web").pids, ElementsAre(10));
}

TEST_F(ContainerNamesTest, TheOneThatRunsIsMeant) {
  docker(id('a'), "web");
  podman(id('c'), "web");
  add({.pid = 10, .comm = "a", .cgroup = scope(id('c'))});
  EXPECT_THAT(find("web").pids, ElementsAre(10));
}

TEST_F(ContainerNamesTest, TwoThatRunAreOneTooMany) {
  docker(id('a'), "web");
  podman(id('c'), "web");
  add({.pid = 10, .comm = "a", .cgroup = scope(id('c'))});
  add({.pid = 11, .comm = "b", .cgroup = "0::/system.slice/docker-" + id('a') + ".scope\n"});
  EXPECT_THAT(find("web").pids, IsEmpty());
  EXPECT_THAT(find("web").problem, HasSubstr("more than one"));
}

TEST_F(ContainerNamesTest, WhatIsNoIdMatchesNoCgroup) {
  docker("x", "web");
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/x-tool.service\n"});
  EXPECT_THAT(find("web").pids, IsEmpty());
}

TEST_F(ContainerNamesTest, UnknownOrNotRunning) {
  EXPECT_THAT(find("web").problem, HasSubstr("12 hexadecimal digits"));
  docker(id('a'), "web");
  EXPECT_THAT(find("web").problem, HasSubstr("no process of it runs"));
}

TEST_F(ContainerNamesTest, WhatIsNoJsonIsNoContainer) {
  dir_.write("docker/containers/x/config.v2.json", "{");
  dir_.write("docker/containers/y/config.v2.json", "[]");
  dir_.write("containers/storage/vfs-containers/containers.json", R"([7,{"names":7},{"names":["web"]}])");
  EXPECT_THAT(find("web").problem, HasSubstr("12 hexadecimal digits"));
}

TEST_F(ServicesTest, ByPidFileWithDescendants) {
  const TempDir dir;
  dir.write("x.pid", "10\n");
  add({.pid = 10, .comm = "main"});
  add({.pid = 11, .comm = "child", .parent = 10});
  add({.pid = 12, .comm = "grandchild", .parent = 11});
  add({.pid = 13, .comm = "stranger"});
  proc_.files().write("stat", "cpu 1\nbtime " + std::to_string(kBoot) + "\n");
  const std::string file = (dir.path() / "x.pid").string();
  EXPECT_THAT(resolve(by(&Service::pid_file, file)).pids, ElementsAre(10, 11, 12));
}

TEST_F(ServicesTest, AStalePidFileIsNotBelieved) {
  const TempDir dir;
  dir.write("x.pid", "10\n");
  const std::string file = (dir.path() / "x.pid").string();
  proc_.files().write("stat", "btime " + std::to_string(kBoot) + "\n");
  add({.pid = 10, .comm = "reused", .started_s = 1000});
  const auto written_at = [&](std::int64_t seconds) {
    const timespec times[2] = {{.tv_sec = seconds, .tv_nsec = 0}, {.tv_sec = seconds, .tv_nsec = 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  };
  written_at(kBoot + 900);
  const ServiceState state = resolve(by(&Service::pid_file, file));
  EXPECT_THAT(state.pids, IsEmpty());
  EXPECT_THAT(state.problem, HasSubstr("another's now"));
  written_at(kBoot + 1001);
  EXPECT_THAT(resolve(by(&Service::pid_file, file)).pids, ElementsAre(10));
}

TEST_F(ServicesTest, PidFilesThatNameNothing) {
  const TempDir dir;
  proc_.files().write("stat", "btime " + std::to_string(kBoot) + "\n");
  const std::string file = (dir.path() / "x.pid").string();
  EXPECT_THAT(resolve(by(&Service::pid_file, file)).problem, HasSubstr("ENOENT"));
  dir.write("x.pid", "soon\n");
  EXPECT_THAT(resolve(by(&Service::pid_file, file)).problem, HasSubstr("holds no pid"));
  dir.write("x.pid", "4000\n");
  EXPECT_THAT(resolve(by(&Service::pid_file, file)).problem, HasSubstr("is gone"));
}

TEST_F(ServicesTest, ByNameOrExecutable) {
  add({.pid = 10, .comm = "redis-server", .executable = "/usr/bin/redis-check-rdb"});
  add({.pid = 11, .comm = "other", .executable = "/usr/bin/redis-server"});
  EXPECT_THAT(resolve(by(&Service::process, "redis-server")).pids, ElementsAre(10));
  EXPECT_THAT(resolve(by(&Service::process, "/usr/bin/redis-server")).pids, ElementsAre(11));
  EXPECT_THAT(resolve(by(&Service::process, "redis")).problem, HasSubstr("no process of process redis runs"));
}

TEST_F(ServicesTest, PopulationIsTheConfiguredServicesWithTheirWeights) {
  add({.pid = 10, .comm = "a", .netns = 5});
  Service heavy = by(&Service::process, "a");
  heavy.weight = 2.5;
  const auto states = resolve_services({{"a", heavy}, {"b", by(&Service::process, "b")}}, processes());
  const Population population = population_of(states, processes());
  ASSERT_EQ(population.members.size(), 2U) << "one that does not run counts as well";
  EXPECT_EQ(population.members[0].name, "service a");
  EXPECT_DOUBLE_EQ(population.members[0].weight, 2.5);
  EXPECT_THAT(population.members[0].netns, ElementsAre(5));
}

TEST_F(ServicesTest, WithoutServicesThePopulationIsTheUnits) {
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/a.service\n", .netns = 5});
  add({.pid = 11, .comm = "a2", .cgroup = "0::/system.slice/a.service/sub\n", .netns = 6});
  add({.pid = 12, .comm = "sh", .cgroup = "0::/user.slice/user-0.slice/session-1.scope\n"});
  add({.pid = 13, .comm = "x", .cgroup = "0::/odd\n"});
  add({.pid = 14, .comm = "k", .user = false});
  const Population population = population_of({}, processes());
  std::vector<std::string> names;
  for (const Member& member : population.members) names.push_back(member.name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("unit a.service", "unit session-1.scope", "cgroup /odd"));
  EXPECT_EQ(population.in_netns(5).size(), 1U);
  EXPECT_EQ(population.in_netns(6).size(), 1U);
}

TEST_F(ServicesTest, ProtectedThingsOfWhatIsTouched) {
  add({.pid = 10, .comm = "a", .cgroup = "0::/system.slice/a.service\n", .uid = 33, .netns = 5});
  add({.pid = 11, .comm = "b", .cgroup = "0::/x/y\n", .uid = 34, .netns = 6});
  Protect protect;
  protect.units = {"a.service"};
  protect.cgroups = {"/x"};
  protect.uids = {33, 34};
  const auto in = [](std::uint64_t netns) { return [netns](const Process& p) { return p.netns == netns; }; };
  EXPECT_THAT(protected_among(protect, processes(), in(5)), ElementsAre("uid 33", "unit a.service"));
  EXPECT_THAT(protected_among(protect, processes(), in(6)), ElementsAre("cgroup /x", "uid 34"));
  EXPECT_THAT(protected_among(protect, processes(), in(7)), IsEmpty());
  EXPECT_THAT(protected_among({}, processes(), in(5)), IsEmpty());
}

}  // namespace
}  // namespace chaos::test
