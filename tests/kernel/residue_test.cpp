// Plants every class of residue on the real kernel and asks find_residue for it. Two instances are planted side by
// side: what is found of one must be exactly its own.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "kernel/features.h"
#include "safety/residue.h"
#include "tests/kernel/residue_plants.h"
#include "tests/support/child.h"
#include "tests/support/kernel_test.h"
#include "tests/support/shell.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::vector<std::string> ids(const std::vector<ResidueItem>& items, std::string_view cls) {
  std::vector<std::string> found;
  for (const ResidueItem& item : items) {
    if (item.cls == cls) found.push_back(item.id);
  }
  return found;
}

std::vector<std::string> classes(const std::vector<ResidueItem>& items) {
  std::vector<std::string> found;
  for (const ResidueItem& item : items) {
    if (found.empty() || found.back() != item.cls) found.push_back(item.cls);
  }
  return found;
}

std::string detail(const std::vector<ResidueItem>& items, std::string_view cls) {
  const auto item = std::ranges::find(items, cls, &ResidueItem::cls);
  return item != items.end() ? item->detail : "";
}

std::size_t open_files() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}
void must(const Status& status) {
  if (!status) throw std::runtime_error(status.error().message);
}

// One instance with something planted of each class.
struct Planted {
  Planted(std::string name, const test::TempDir& files, const std::filesystem::path& bpffs, int number)
      : instance(std::move(name)),
        directory(files.path() / instance),
        link_device(fmt::format("va{}", number)),
        map(must(test::plant_map(bpf_name_prefix(instance) + "m"))),
        named(must(test::plant_program(bpf_name_prefix(instance) + "p"))),
        using_map(must(test::plant_program("stranger", map.get()))),
        cgroup(instance_path_name(instance) + ".workers"),
        process("/bin/sh", {"chaosd-worker", "-c", "read line", "--instance", instance}) {
    const std::string device = device_name_prefix(instance) + "x";
    must(test::run(fmt::format("ip link add {} type veth peer name {}", device, link_device)));
    must(test::run(fmt::format("ip link set {} up && ip link set {} up", device, link_device)));
    link = must(test::plant_link(named.get(), bpf_name_prefix(instance) + "l", link_device.c_str()));
    if (has_tcx()) must(test::plant_tcx_attachment(using_map.get(), link_device.c_str()));

    const auto pins = bpffs / instance_path_name(instance);
    std::filesystem::create_directory(pins);
    if (bpf_obj_pin(map.get(), (pins / "m").c_str()) != 0) must(fail_errno("pin map"));
    const auto stray = bpffs / fmt::format("stray{}", number);
    if (bpf_obj_pin(link.link.get(), stray.c_str()) != 0) must(fail_errno("pin link"));
    const auto temporary = bpffs / fmt::format("temporary{}", number);
    if (bpf_obj_pin(named.get(), temporary.c_str()) != 0) must(fail_errno("pin program"));
    must(test::run(fmt::format("tc qdisc add dev {0} clsact && tc filter add dev {0} egress bpf da object-pinned {1}",
                               link_device, temporary.string())));
    std::filesystem::remove(temporary);

    files.write(instance + "/run/chaosd.sock", "");
    files.write(instance + "/run/journal/7.undo", "{}");
    files.write("motd.d/50-" + instance_path_name(instance), "chaos");
    // Of a chaosd that is dead: no pid is as large.
    std::filesystem::create_symlink("/proc/5000000/task/5000001/../../../../run/chaosd/motd",
                                    files.path() / "motd.d" / motd_name(instance));
  }

  std::string instance;
  std::filesystem::path directory;
  std::string link_device;
  UniqueFd map;
  UniqueFd named;
  UniqueFd using_map;
  test::PlantedLink link;
  test::PlantedCgroup cgroup;
  test::Child process;
};

class ResidueKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    bpffs_ = files_.path() / "bpf";
    const Status entered = test::enter_own_namespaces(bpffs_);
    if (!entered) CHAOS_CANNOT_RUN(entered.error().message);
  }
  void TearDown() override { ::umount(bpffs_.c_str()); }

  [[nodiscard]] std::string name(char letter) const { return fmt::format("rt{}-{}", ::getpid(), letter); }
  [[nodiscard]] ResidueScope scope(const std::string& instance) const {
    ResidueScope scope;
    scope.instance = instance;
    scope.runtime_dir = files_.path() / instance / "run";
    scope.bpffs = bpffs_;
    scope.netns_dir = files_.path() / "netns";
    scope.motd_dir = files_.path() / "motd.d";
    return scope;
  }
  [[nodiscard]] static std::vector<ResidueItem> find(const ResidueScope& scope) {
    auto items = find_residue(scope);
    EXPECT_TRUE(items) << items.error().message;
    return std::move(*items);
  }

  test::TempDir files_;
  std::filesystem::path bpffs_;
};

void expect_exactly(const Planted& planted, const std::vector<ResidueItem>& items, const std::filesystem::path& bpffs,
                    const std::filesystem::path& motd) {
  const auto path = [&](const char* relative) { return (planted.directory / relative).string(); };
  const std::string pins = (bpffs / instance_path_name(planted.instance)).string();
  const std::string number = planted.link_device.substr(2);
  const bool tcx = has_tcx();
  std::vector<std::string> expected{"link",   "program", "map",  "attachment", "qdisc",  "device",
                                    "cgroup", "process", "file", "pin",        "journal"};
  if (!tcx) std::erase(expected, "attachment");
  EXPECT_EQ(classes(items), expected);
  EXPECT_THAT(ids(items, residue::kLink), ElementsAre(std::to_string(test::link_id(planted.link.link))));
  std::vector<std::string> programs{std::to_string(test::program_id(planted.named)),
                                    std::to_string(test::program_id(planted.using_map))};
  if (!tcx) programs.push_back(std::to_string(test::program_id(planted.link.program)));
  EXPECT_THAT(ids(items, residue::kProgram), testing::UnorderedElementsAreArray(programs));
  EXPECT_THAT(ids(items, residue::kMap), ElementsAre(std::to_string(test::map_id(planted.map))));
  if (tcx) {
    EXPECT_THAT(ids(items, residue::kAttachment), ElementsAre(HasSubstr("tcx egress of " + planted.link_device + " ")));
  }
  EXPECT_THAT(ids(items, residue::kQdisc),
              ElementsAre(testing::AllOf(HasSubstr(planted.link_device + " "), HasSubstr("parent ffff:fff3"))));
  EXPECT_THAT(ids(items, residue::kDevice), ElementsAre(device_name_prefix(planted.instance) + "x"));
  EXPECT_THAT(ids(items, residue::kCgroup), ElementsAre(planted.cgroup.path().string()));
  EXPECT_THAT(ids(items, residue::kProcess), ElementsAre(std::to_string(planted.process.pid())));
  EXPECT_THAT(ids(items, residue::kFile),
              UnorderedElementsAre(path("run/chaosd.sock"), (motd / motd_name(planted.instance)).string(),
                                   (motd / ("50-" + instance_path_name(planted.instance))).string()));
  EXPECT_THAT(ids(items, residue::kPin),
              UnorderedElementsAre(pins, pins + "/m", (bpffs / ("stray" + number)).string()));
  EXPECT_THAT(ids(items, residue::kJournal), ElementsAre(path("run/journal/7.undo")));
}

TEST_F(ResidueKernelTest, NothingIsFoundWhereNothingWasPlanted) { EXPECT_THAT(find(scope(name('n'))), IsEmpty()); }

TEST_F(ResidueKernelTest, EachClassIsFoundExactlyAndOnlyOfItsInstance) {
  const Planted one(name('a'), files_, bpffs_, 1);
  const Planted two(name('b'), files_, bpffs_, 2);
  ASSERT_NE(instance_tag(one.instance), instance_tag(two.instance));
  const auto items = find(scope(one.instance));
  expect_exactly(one, items, bpffs_, files_.path() / "motd.d");
  if (has_tcx()) {
    EXPECT_THAT(detail(items, residue::kLink), HasSubstr("tcx ingress of ifindex"));
  }
  expect_exactly(two, find(scope(two.instance)), bpffs_, files_.path() / "motd.d");
  EXPECT_THAT(find(scope(name('c'))), IsEmpty());
}

TEST_F(ResidueKernelTest, WhatALivingDaemonAccountsForIsNotResidueButADeadOnesIs) {
  const std::string instance = name('d');
  const UniqueFd map = must(test::plant_map(bpf_name_prefix(instance) + "m"));
  const UniqueFd program = must(test::plant_program(bpf_name_prefix(instance) + "p", map.get()));
  must(test::run("ip link add " + device_name_prefix(instance) + "x type veth peer name va"));
  const test::PlantedLink link = must(test::plant_link(program.get(), bpf_name_prefix(instance) + "l", "va"));
  if (has_tcx()) must(test::plant_tcx_attachment(program.get(), "va"));
  const test::PlantedCgroup cgroup(instance_path_name(instance));
  const test::Child daemon("/bin/sh", {"chaosd", "-c", "read line", "--instance", instance});
  files_.write(instance + "/run/chaosd.sock", "");

  ResidueScope living = scope(instance);
  living.daemon_alive = true;
  living.own_pid = daemon.pid();
  living.own_links = {test::link_id(link.link)};
  living.own_programs = {test::program_id(program)};
  if (link.program.valid()) living.own_programs.insert(test::program_id(link.program));
  living.own_maps = {test::map_id(map)};
  living.own_devices = {device_name_prefix(instance) + "x"};
  living.own_cgroups = {cgroup.path()};
  EXPECT_THAT(find(living), IsEmpty());

  ResidueScope forgetful = living;
  forgetful.own_links.clear();
  EXPECT_THAT(classes(find(forgetful)), ElementsAre("link"));

  ResidueScope dead = living;
  dead.daemon_alive = false;
  std::vector<std::string> expected{"link", "program", "map", "attachment", "device", "cgroup", "process", "file"};
  if (!has_tcx()) std::erase(expected, "attachment");
  EXPECT_EQ(classes(find(dead)), expected);
}

TEST_F(ResidueKernelTest, NamespacesWithoutAProcessAreEnteredByTheirName) {
  const std::string instance = name('e');
  const std::string device = device_name_prefix(instance) + "y";
  const auto file = files_.path() / "netns" / "hidden";
  must(test::make_named_namespace(file, {"ip link add " + device + " type veth peer name other"}));
  files_.write("netns/left-by-ip-netns-delete", "");
  EXPECT_THAT(ids(find(scope(instance)), residue::kDevice), ElementsAre(device));
  must(test::run("umount " + file.string()));
  EXPECT_THAT(find(scope(instance)), IsEmpty());
}

TEST_F(ResidueKernelTest, LinkOutlivesItsDeviceAndIsStillFound) {
  const std::string instance = name('f');
  const UniqueFd program = must(test::plant_program(bpf_name_prefix(instance) + "p"));
  must(test::run("ip link add va type veth peer name vb"));
  const test::PlantedLink link = must(test::plant_link(program.get(), bpf_name_prefix(instance) + "l", "va"));
  must(test::run("ip link del va"));
  const auto items = find(scope(instance));
  EXPECT_THAT(ids(items, residue::kLink), ElementsAre(std::to_string(test::link_id(link.link))));
  if (has_tcx()) {
    EXPECT_THAT(detail(items, residue::kLink), HasSubstr("device that is gone"));
  }
}

// The maps of a program outlive its last holder by some grace periods of RCU: who asks right after the end of a daemon
// sees them there. That is the kernel's business and no residue; a map that has a holder is.
TEST_F(ResidueKernelTest, WhatTheKernelIsTakingAwayIsNoResidue) {
  const std::string instance = name('h');
  const UniqueFd held = must(test::plant_map(bpf_name_prefix(instance) + "k"));
  bool seen_going = false;
  for (int round = 0; round < 5; ++round) {
    UniqueFd map = must(test::plant_map(bpf_name_prefix(instance) + "m"));
    UniqueFd program = must(test::plant_program(bpf_name_prefix(instance) + "p", map.get()));
    const std::uint32_t id = test::map_id(map);
    map.reset();
    program.reset();
    seen_going |= UniqueFd(bpf_map_get_fd_by_id(id)).valid();
    const auto items = find(scope(instance));
    ASSERT_THAT(classes(items), ElementsAre("map")) << "round " << round;
    EXPECT_THAT(ids(items, residue::kMap), ElementsAre(std::to_string(test::map_id(held))));
  }
  EXPECT_TRUE(seen_going) << "no map was still there after its last holder: this test shows nothing";
}

TEST_F(ResidueKernelTest, SearchLeavesNoFilesOpenAndTheCallerWhereItWas) {
  const auto before = std::filesystem::read_symlink("/proc/thread-self/ns/net");
  EXPECT_THAT(find(scope(name('g'))), IsEmpty());
  const std::size_t files = open_files();
  EXPECT_THAT(find(scope(name('g'))), IsEmpty());
  EXPECT_EQ(open_files(), files);
  EXPECT_EQ(std::filesystem::read_symlink("/proc/thread-self/ns/net"), before);
}

}  // namespace
}  // namespace chaos
