// resource_exhaustion of memory, disks and open files on real cgroups and processes, of whichever version this host has
// the controllers in. Observers: the cgroups' own files, /sys/block, /proc, prlimit(2), what a shell can still open.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/daemon.h"
#include "support/disk.h"
#include "support/halted.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::uint64_t soft_fd_limit(pid_t pid) {
  rlimit limit{};
  EXPECT_EQ(::prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
  return limit.rlim_cur;
}

class Scarcity : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    daemon_ = std::make_unique<Daemon>();
    ASSERT_TRUE(eventually([&] { return daemon_->get("/health").body.value("guardian_pid", json()).is_number(); }));
  }
  static json request(const json& target, json parameters) {
    return {
        {"kind", "resource_exhaustion"}, {"target", target}, {"parameters", std::move(parameters)}, {"duration", "1m"}};
  }
  static json of(const LimitedCgroup& cgroup) { return {{"cgroup", cgroup.cgroup().path()}}; }
  static json throttle(const json& target, const std::string& path, const std::string& rate) {
    return request(target, {{"resource", "disk"}, {"mode", "throttle"}, {"path", path}, {"rate", rate}});
  }
  static json limit(const json& target, const std::string& resource, const std::string& level) {
    return request(target, {{"resource", resource}, {"mode", "limit"}, {"level", level}});
  }
  [[nodiscard]] std::tuple<long, std::string, bool> refusal(const json& body) const {
    const Response answer = daemon_->post("/api/chaos/scenarios", body);
    return {answer.status, answer.body.value("field", ""), answer.body.value("rule", "").empty()};
  }
  void expect_no_residue() const {
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }
  std::unique_ptr<Daemon> daemon_;
};

/// What the limits of a disk read for a cgroup: no line, no limit.
std::string disk_limits(const LimitedCgroup& cgroup) {
  if (cgroup.v2()) return cgroup.value("io.max");
  return cgroup.value("blkio.throttle.read_bps_device") + "|" + cgroup.value("blkio.throttle.write_bps_device");
}

TEST_F(Scarcity, ADiskIsReadAndWrittenAtTheRateThatWasAskedFor) {
  const LimitedCgroup cgroup("io", "blkio");
  const LimitedCgroup other("io", "blkio");
  const LoopDisk disk(64 << 20);
  const DiskUser reader(disk, DiskUse::kRead);
  const DiskUser writer(disk, DiskUse::kWrite);
  for (const DiskUser* user : {&reader, &writer}) cgroup.add(user->pid());
  const std::string before = disk_limits(cgroup);
  const json started = daemon_->run_scenario(throttle(of(cgroup), disk.device(), "4MBps"));
  EXPECT_EQ(started.at("plan").at("ownership"), "journaled");
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr("4000000 in "));
  for (const DiskUser* user : {&reader, &writer}) user->begin();
  std::this_thread::sleep_for(seconds(1));  // what may be had at once, at the beginning
  const auto began = std::chrono::steady_clock::now();
  const LoopDisk::Traffic at_first = disk.traffic();
  std::this_thread::sleep_for(by_size(seconds(4), seconds(10)));  // a span to divide by
  const LoopDisk::Traffic at_last = disk.traffic();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  const double read = static_cast<double>(at_last.read_bytes - at_first.read_bytes) / passed.count();
  const double written = static_cast<double>(at_last.written_bytes - at_first.written_bytes) / passed.count();
  report_figure("read at 4 MB/s", read / 1e6, "MB/s");
  report_figure("written at 4 MB/s", written / 1e6, "MB/s");
  EXPECT_NEAR(read, 4e6, 0.05 * 4e6);
  EXPECT_NEAR(written, 4e6, 0.05 * 4e6);
  // A neighbour on the same disk is not held up.
  const DiskUser neighbour(disk, DiskUse::kRead);
  other.add(neighbour.pid());
  neighbour.begin();
  const std::uint64_t then = disk.traffic().read_bytes;
  EXPECT_TRUE(eventually([&] { return disk.traffic().read_bytes - then > 40'000'000; }, seconds(5)));
  json record;
  EXPECT_TRUE(eventually([&] {
    record = daemon_->scenario(id_of(started));
    return record.at("achieved").contains("passed");
  })) << record.dump(1);
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(disk_limits(cgroup), before);
  EXPECT_EQ(disk_limits(other), before);
  expect_no_residue();
}

TEST_F(Scarcity, OthersLimitsOfTheSameDiskStayWhatTheyAre) {
  const LimitedCgroup cgroup("io", "blkio");
  const LoopDisk disk(1 << 20);
  const LoopDisk another(1 << 20);
  const Child inside("/bin/sleep", {"sleep", "1000"});
  cgroup.add(inside.pid());
  const auto set = [&](const LoopDisk& of_disk, const std::string& writes) {
    if (cgroup.v2()) {
      cgroup.set("io.max", of_disk.numbers() + " wbps=" + writes);
    } else {
      cgroup.set("blkio.throttle.write_bps_device", of_disk.numbers() + " " + writes);
    }
  };
  // Tighter than what is asked for: it stays; reads are throttled all the same. And another disk's is another's.
  set(disk, "1000000");
  set(another, "77777777");
  const std::string before = disk_limits(cgroup);
  const json started = daemon_->run_scenario(throttle(of(cgroup), disk.device(), "2MBps"));
  EXPECT_THAT(disk_limits(cgroup), HasSubstr("1000000"));
  EXPECT_THAT(disk_limits(cgroup), HasSubstr("2000000"));
  EXPECT_THAT(disk_limits(cgroup), HasSubstr("77777777"));
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(disk_limits(cgroup), before);
}

TEST_F(Scarcity, APathWithoutADiskIsRefused) {
  const LimitedCgroup cgroup("io", "blkio");
  const Child inside("/bin/sleep", {"sleep", "1000"});
  cgroup.add(inside.pid());
  EXPECT_EQ(refusal(throttle(of(cgroup), "/proc", "1MBps")), std::tuple(501L, std::string("parameters.path"), false));
  EXPECT_EQ(refusal(throttle(of(cgroup), "/no/such", "1MBps")),
            std::tuple(404L, std::string("parameters.path"), false));
  EXPECT_EQ(refusal(throttle(of(cgroup), "here", "1MBps")), std::tuple(400L, std::string("parameters.path"), false));
  json without = throttle(of(cgroup), "/proc", "1MBps");
  without["parameters"].erase("path");
  EXPECT_EQ(refusal(without), std::tuple(400L, std::string("parameters.path"), false));
}

TEST_F(Scarcity, LimitedMemoryIsTakenBackAndNobodyIsKilled) {
  const LimitedCgroup cgroup("memory");
  if (!cgroup.v2()) {
    // v1 has nothing that slows down and does not kill: that is said.
    const Response answer = daemon_->post("/api/chaos/scenarios", limit(of(cgroup), "memory", "50%"));
    EXPECT_EQ(answer.status, 501) << answer.text;
    EXPECT_THAT(answer.body.value("detail", ""), HasSubstr("memory.limit_in_bytes"));
    return;
  }
  const LoopDisk disk(64 << 20);
  const DiskUser reader(disk, DiskUse::kReadCached);
  cgroup.add(reader.pid());
  reader.begin();
  const auto used = [&] { return std::stoull(cgroup.value("memory.current")); };
  ASSERT_TRUE(eventually([&] { return used() > 60 << 20; }, seconds(60)));
  const auto before = static_cast<double>(used());
  const json started = daemon_->run_scenario(limit(of(cgroup), "memory", "50%"));
  const auto high = std::stod(cgroup.value("memory.high"));
  EXPECT_NEAR(high, before / 2, 0.05 * before);
  EXPECT_TRUE(eventually([&] { return static_cast<double>(used()) < 1.05 * high; }, seconds(20))) << used();
  report_figure("memory at a limit of " + std::to_string(high / (1 << 20)) + " MiB",
                static_cast<double>(used()) / (1 << 20), "MiB");
  EXPECT_TRUE(eventually(
      [&] { return daemon_->scenario(id_of(started)).at("achieved").value("held_up", "0 times") != "0 times"; }));
  EXPECT_TRUE(exists(reader.pid()));
  EXPECT_EQ(daemon_->stop_scenario(id_of(started)).at("state"), "completed");
  EXPECT_EQ(cgroup.value("memory.high"), "max");
  EXPECT_TRUE(eventually([&] { return used() > 60 << 20; }, seconds(60)));
  expect_no_residue();
}

/// A shell that has many files open, and tells whether it can open one more.
class Opener {
 public:
  explicit Opener(int files)
      : shell_(
            "/bin/bash",
            {"bash", "-c",
             "for ((i = 3; i < " + std::to_string(files) +
                 "; i++)); do eval \"exec $i</dev/null\"; done; exec 2>/dev/null; echo ready; while read -r word; do "
                 "case $word in open) true </dev/null && echo opened || echo failed;; fork) ( kill "
                 "-STOP $BASHPID ) & echo $!;; esac; done"}) {
    if (shell_.read_line() != "ready") throw std::runtime_error("no shell");
  }
  ~Opener() {
    for (const pid_t pid : forked_) ::kill(pid, SIGKILL);
  }
  [[nodiscard]] pid_t pid() const { return shell_.pid(); }
  [[nodiscard]] bool can_open() const {
    shell_.write_line("open");
    return shell_.read_line() == "opened";
  }
  /// A child that stands still.
  pid_t fork_one() {
    shell_.write_line("fork");
    forked_.push_back(static_cast<pid_t>(std::stol(shell_.read_line())));
    return forked_.back();
  }

 private:
  Child shell_;
  std::vector<pid_t> forked_;
};

TEST_F(Scarcity, NoMoreFilesThanAreLeftCanBeOpened) {
  Opener opener(60);
  const Opener neighbour(60);
  const pid_t earlier = opener.fork_one();
  const std::uint64_t before = soft_fd_limit(opener.pid());
  EXPECT_TRUE(opener.can_open());
  const json started = daemon_->run_scenario(limit({{"pid", std::to_string(opener.pid())}}, "fds", "50%"));
  EXPECT_EQ(started.at("plan").at("ownership"), "journaled");
  const std::uint64_t lowered = soft_fd_limit(opener.pid());
  EXPECT_LE(lowered, 31U);
  EXPECT_GE(lowered, 25U);
  EXPECT_THAT(started.at("plan").at("mechanism").get<std::string>(), HasSubstr(std::to_string(lowered)));
  EXPECT_EQ(soft_fd_limit(earlier), lowered);
  EXPECT_FALSE(opener.can_open());
  EXPECT_TRUE(neighbour.can_open());
  // What is forked meanwhile has it too, and gets it back.
  const pid_t later = opener.fork_one();
  EXPECT_EQ(soft_fd_limit(later), lowered);
  EXPECT_TRUE(eventually([&] {
    return daemon_->scenario(id_of(started)).at("achieved").value("limited", "").starts_with("3 of 3");
  })) << daemon_->scenario(id_of(started)).dump(1);
  const json ended = daemon_->stop_scenario(id_of(started));
  EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
  EXPECT_TRUE(ended.at("warnings").empty()) << ended.at("warnings").dump();
  for (const pid_t pid : {opener.pid(), earlier, later}) EXPECT_EQ(soft_fd_limit(pid), before);
  EXPECT_TRUE(opener.can_open());
  expect_no_residue();
}

TEST_F(Scarcity, WhoComesToTheTargetLaterIsLimitedAsWell) {
  const TestCgroup cgroup("fds");
  const Opener opener(60);
  const Opener comes_later(60);
  cgroup.add(opener.pid());
  const std::uint64_t before = soft_fd_limit(comes_later.pid());
  const json started = daemon_->run_scenario(limit({{"cgroup", cgroup.path()}}, "fds", "90%"));
  const std::uint64_t lowered = soft_fd_limit(opener.pid());
  EXPECT_EQ(soft_fd_limit(comes_later.pid()), before);
  cgroup.add(comes_later.pid());
  EXPECT_TRUE(eventually([&] { return soft_fd_limit(comes_later.pid()) == lowered; }));
  (void)daemon_->stop_scenario(id_of(started));
  for (const pid_t pid : {opener.pid(), comes_later.pid()}) EXPECT_EQ(soft_fd_limit(pid), before);
}

TEST_F(Scarcity, AProcessWithATighterLimitIsRefused) {
  const Opener opener(20);
  const rlimit tight{5, 4096};
  ASSERT_EQ(::prlimit(opener.pid(), RLIMIT_NOFILE, &tight, nullptr), 0);
  EXPECT_EQ(refusal(limit({{"pid", std::to_string(opener.pid())}}, "fds", "50%")),
            std::tuple(409L, std::string("parameters.level"), false));
  EXPECT_EQ(soft_fd_limit(opener.pid()), 5U);
}

}  // namespace
}  // namespace chaos::test
