#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "ctl/doctor.h"
#include "ctl/problem.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Check;
using ctl::HostView;
using ctl::Json;
using ctl::Verdict;
using testing::HasSubstr;

/// A host on which everything is right, as a tree of files.
class CtlDoctor : public testing::Test {
 protected:
  void SetUp() override {
    write_text(dir_ / "proc/sys/kernel/osrelease", "6.12.1-amd64\n");
    write_text(dir_ / "sys/kernel/btf/vmlinux", "");
    write_text(dir_ / "proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
    write_text(dir_ / "proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
    write_text(dir_ / "sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
    write_text(dir_ / "proc/self/limits",
               "Max locked memory         unlimited            unlimited            bytes\n");
    write_text(dir_ / "proc/1/comm", "systemd\n");
    std::filesystem::create_directories(dir_ / "run");
    ::chmod(daemon_.socket().c_str(), 0660);
    host_.root = dir_.path();
    host_.socket = "/chaosd.sock";
    host_.is_root = true;
    host_.group_exists = [](const std::string&) { return true; };
  }
  Check check(const std::string& name) {
    const std::vector<Check> checks = ctl::check_host(host_);
    const auto found = std::ranges::find(checks, name, &Check::name);
    return found != checks.end() ? *found : Check{"missing", Verdict::kFail, {}, {}};
  }
  void expect(const std::string& name, Verdict verdict, const std::string& meaning) {
    const Check found = check(name);
    EXPECT_EQ(found.verdict, verdict) << name << ": " << found.meaning;
    EXPECT_THAT(found.meaning, HasSubstr(meaning));
    EXPECT_EQ(found.advice.empty(), verdict == Verdict::kOk) << name << ": " << found.advice;
  }

  ScratchDir dir_;
  FakeDaemon daemon_{dir_ / "chaosd.sock", [](const FakeRequest&) { return FakeReply{}; }};
  HostView host_;
};

TEST_F(CtlDoctor, AGoodHostPassesEverything) {
  for (const Check& check : ctl::check_host(host_)) {
    EXPECT_EQ(check.verdict, Verdict::kOk) << check.name << ": " << check.meaning;
    EXPECT_EQ(check.advice, "") << check.name;
  }
}

TEST_F(CtlDoctor, KernelVersion) {
  write_text(dir_ / "proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
  expect("kernel", Verdict::kOk, "6.1.0");
  expect("tcx", Verdict::kWarn, "older than 6.6");
  write_text(dir_ / "proc/sys/kernel/osrelease", "5.15.0\n");
  expect("kernel", Verdict::kFail, "needs 6.1");
  write_text(dir_ / "proc/sys/kernel/osrelease", "10.0\n");
  expect("kernel", Verdict::kOk, "10.0");
  expect("tcx", Verdict::kOk, "");
  write_text(dir_ / "proc/sys/kernel/osrelease", "");
  expect("kernel", Verdict::kFail, "unknown");
}

TEST_F(CtlDoctor, Btf) {
  std::filesystem::remove(dir_ / "sys/kernel/btf/vmlinux");
  expect("BTF", Verdict::kFail, "no /sys/kernel/btf/vmlinux");
}

TEST_F(CtlDoctor, Privilege) {
  // All but CAP_NET_ADMIN (12) and CAP_BPF (39).
  write_text(dir_ / "proc/self/status", "CapEff:\t0000017fffffefff\n");
  expect("privilege", Verdict::kFail, "root, but without CAP_NET_ADMIN, CAP_BPF");
  host_.is_root = false;
  expect("privilege", Verdict::kFail, "you are not root");
  host_.daemon_answers = true;
  expect("privilege", Verdict::kOk, "the daemon runs");
}

TEST_F(CtlDoctor, CgroupTrees) {
  write_text(dir_ / "proc/self/mounts",
             "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
             "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
  expect("cgroup", Verdict::kOk, "v2 tree at /sys/fs/cgroup/unified");
  write_text(dir_ / "proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n");
  expect("cgroup", Verdict::kWarn, "no cgroup v2 tree");
}

TEST_F(CtlDoctor, Lockdown) {
  write_text(dir_ / "sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  expect("lockdown", Verdict::kOk, "integrity");
  write_text(dir_ / "sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
  expect("lockdown", Verdict::kWarn, "may not read kernel memory");
  std::filesystem::remove(dir_ / "sys/kernel/security/lockdown");
  expect("lockdown", Verdict::kOk, "not known");
}

TEST_F(CtlDoctor, MemoryLock) {
  write_text(dir_ / "proc/self/limits", "Max locked memory         8388608              8388608              bytes\n");
  expect("memlock", Verdict::kOk, "CAP_IPC_LOCK");
  write_text(dir_ / "proc/self/status", "CapEff:\t000001ffffffbfff\n");
  expect("memlock", Verdict::kWarn, "8388608 bytes");
  write_text(dir_ / "proc/self/limits", "Max locked memory         67108864             unlimited            bytes\n");
  expect("memlock", Verdict::kOk, "67108864");
}

TEST_F(CtlDoctor, GroupsInitAndSocket) {
  host_.group_exists = [](const std::string& group) { return group == "chaos"; };
  expect("groups", Verdict::kWarn, "no group chaos-view:");
  write_text(dir_ / "proc/1/comm", "tini\n");
  expect("systemd", Verdict::kWarn, "PID 1 is 'tini'");
  ::chmod(daemon_.socket().c_str(), 0666);
  expect("socket", Verdict::kWarn, "everybody may open it");
  host_.socket = "/run/none.sock";
  expect("socket", Verdict::kWarn, "ENOENT");
  host_.socket = "/proc/1/comm";
  expect("socket", Verdict::kWarn, "is no socket");
}

TEST_F(CtlDoctor, TheDaemonsOwnWord) {
  EXPECT_EQ(ctl::check_daemon(Json(), Json()).front().verdict, Verdict::kWarn);
  const auto checks =
      ctl::check_daemon(Json::parse(R"({"status":"ok","version":"0.1.0","latched":true,"latch_reason":"smoke"})"),
                        Json::parse(R"({"features":[{"name":"tcx","available":true},
                                  {"name":"fentry","available":false,"reason":"EPERM","used_instead":"tp_btf"}]})"));
  ASSERT_EQ(checks.size(), 3U);
  EXPECT_EQ(checks[0].verdict, Verdict::kOk);
  EXPECT_THAT(checks[1].meaning, HasSubstr("smoke"));
  EXPECT_EQ(checks[2].name, "feature fentry");
  EXPECT_EQ(checks[2].advice, "used instead: tp_btf");
}

TEST_F(CtlDoctor, TheCommandFailsOnlyForWhatIsEssential) {
  const Ran ran = run_ctl_on(daemon_, {"-o", "json", "doctor"});
  const Json document = Json::parse(ran.out);
  const bool failed = std::ranges::any_of(document["checks"], [](const Json& c) { return c["result"] == "fail"; });
  EXPECT_EQ(ran.exit, failed ? 1 : 0);
  EXPECT_EQ(document["ok"].get<bool>(), !failed);
  EXPECT_THAT(run_ctl_on(daemon_, {"doctor"}).out, HasSubstr("WHAT TO DO"));
}

}  // namespace
}  // namespace chaos::test
