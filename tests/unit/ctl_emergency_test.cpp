// The emergency stop without the daemon's help, against a copy of sleep that is called chaosd.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include <fmt/format.h>

#include "ctl/brake.h"
#include "ctl/problem.h"
#include "ctl_support.h"
#include "tests/support/kernel_test.h"

namespace chaos::test {
namespace {

using ctl::BrakeReport;
using ctl::Json;
using testing::AllOf;
using testing::HasSubstr;

/// Field 22 of /proc/PID/stat; the comms of these tests have no blanks.
std::string start_time(pid_t pid) {
  std::istringstream stat(read_text(fmt::format("/proc/{}/stat", pid)));
  std::string field;
  for (int i = 0; i < 22; ++i) stat >> field;
  return field;
}

/// Until the child has become what it is to be: the exec behind a fork takes its time.
bool wait_for_exe(pid_t pid, const std::string& name) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (std::chrono::steady_clock::now() < deadline) {
    std::error_code error;
    const auto exe = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
    if (!error && exe.filename() == name) return true;
    ::sched_yield();
  }
  return false;
}

class CtlEmergency : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_ / "run");
    std::filesystem::create_directories(dir_ / "state");
  }

  std::string make_program(const std::string& name) {
    const auto program = dir_ / name;
    std::filesystem::copy_file("/bin/sleep", program);
    return program.string();
  }
  void write_pid_file(pid_t pid, const std::string& start) {
    write_text(dir_ / "run/chaosd.pid", fmt::format("{} {}\n", pid, start));
  }
  BrakeReport brake() {
    return ctl::pull_brake({dir_ / "run", dir_ / "state", (dir_ / "run/chaosd.sock").string(), "smoke"});
  }
  bool latched() { return !std::filesystem::is_empty(dir_ / "state"); }
  std::vector<std::string> command(std::vector<std::string> more = {}) {
    std::vector<std::string> args{"--socket", (dir_ / "run/chaosd.sock").string(), "emergency-stop", "--state-dir",
                                  (dir_ / "state").string()};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }

  ScratchDir dir_;
};

TEST_F(CtlEmergency, KillsTheDaemonOfThePidFile) {
  Child daemon({make_program("chaosd"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(daemon.pid(), "chaosd"));
  write_pid_file(daemon.pid(), start_time(daemon.pid()));
  const BrakeReport report = brake();
  EXPECT_TRUE(report.stopped);
  EXPECT_TRUE(report.held);
  EXPECT_EQ(report.killed, daemon.pid());
  EXPECT_EQ(daemon.wait(), 128 + SIGKILL);
  EXPECT_EQ(read_text(dir_ / "run/STOP"), "smoke\n");
  EXPECT_TRUE(latched());
}

TEST_F(CtlEmergency, KillsAStoppedDaemonAsWell) {
  Child daemon({make_program("chaosd"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(daemon.pid(), "chaosd"));
  write_pid_file(daemon.pid(), start_time(daemon.pid()));
  ::kill(daemon.pid(), SIGSTOP);
  ASSERT_EQ(::waitpid(daemon.pid(), nullptr, WUNTRACED), daemon.pid());
  EXPECT_TRUE(brake().stopped);
  EXPECT_EQ(daemon.wait(), 128 + SIGKILL);
}

TEST_F(CtlEmergency, KillsADaemonWhoseBinaryWasReplaced) {
  const std::string program = make_program("chaosd");
  Child daemon({program, "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(daemon.pid(), "chaosd"));
  write_pid_file(daemon.pid(), start_time(daemon.pid()));
  std::filesystem::remove(program);
  EXPECT_EQ(brake().killed, daemon.pid());
}

TEST_F(CtlEmergency, LeavesAnotherProcessAlone) {
  Child other({make_program("innocent"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(other.pid(), "innocent"));
  write_pid_file(other.pid(), start_time(other.pid()));
  const BrakeReport report = brake();
  EXPECT_FALSE(report.killed);
  EXPECT_TRUE(report.stopped);
  EXPECT_EQ(::kill(other.pid(), 0), 0);
}

TEST_F(CtlEmergency, LeavesALaterProcessWithThatPidAlone) {
  Child later({make_program("chaosd"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(later.pid(), "chaosd"));
  write_pid_file(later.pid(), "1");
  EXPECT_FALSE(brake().killed);
  EXPECT_EQ(::waitpid(later.pid(), nullptr, WNOHANG), 0);
}

TEST_F(CtlEmergency, GarbageInThePidFileKillsNobody) {
  for (const char* text : {"", "x y", "0 1", "-1 1", "99999999 1", "1"}) {
    write_text(dir_ / "run/chaosd.pid", text);
    const BrakeReport report = brake();
    EXPECT_FALSE(report.killed) << text;
    EXPECT_TRUE(report.stopped) << text;
  }
}

TEST_F(CtlEmergency, WhoHoldsTheSocketIsNotForgotten) {
  // This test process listens, and is not chaosd: not to be killed, and not to be taken for "none is running".
  const FakeDaemon listener(dir_ / "run/chaosd.sock", [](const FakeRequest&) {
    return FakeReply{200, "", FakeReply::Kind::kSilent};
  });
  const BrakeReport report = brake();
  EXPECT_FALSE(report.killed);
  EXPECT_FALSE(report.stopped);
  EXPECT_THAT(report.steps[1].detail, HasSubstr("which is not chaosd"));
  EXPECT_TRUE(report.held);
}

TEST_F(CtlEmergency, GoesOnWhenAStepFails) {
  std::filesystem::remove_all(dir_ / "run");
  BrakeReport report = brake();
  EXPECT_FALSE(report.steps[0].done);
  EXPECT_TRUE(report.held);  // by the latch
  std::filesystem::create_directories(dir_ / "run");
  std::filesystem::remove_all(dir_ / "state");
  report = brake();
  EXPECT_TRUE(report.held);  // by the stop file
  std::filesystem::remove_all(dir_ / "run");
  EXPECT_FALSE(brake().held);
}

TEST_F(CtlEmergency, TheStateDirectoryIsTheOneOfTheDaemon) {
  // A shell that stops itself: a daemon with a command line of its own.
  const auto program = dir_ / "chaosd";
  std::filesystem::copy_file("/bin/sh", program);
  const std::string own_state = (dir_ / "own").string();
  std::filesystem::create_directories(own_state);
  for (const auto& words : {std::vector<std::string>{"--state-dir", own_state}, {"--state-dir=" + own_state}}) {
    std::vector<std::string> argv{program.string(), "-c", "kill -STOP $$", "chaosd", "--state-directory", "x"};
    argv.insert(argv.end(), words.begin(), words.end());
    Child daemon(argv, dir_.path());
    ASSERT_EQ(::waitpid(daemon.pid(), nullptr, WUNTRACED), daemon.pid());
    write_pid_file(daemon.pid(), start_time(daemon.pid()));
    const auto found = ctl::find_daemon(dir_ / "run", "");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->state_dir, own_state);
    EXPECT_TRUE(ctl::pull_brake({dir_ / "run", {}, "", "smoke"}).held);
    EXPECT_FALSE(std::filesystem::is_empty(own_state));
  }
}

TEST_F(CtlEmergency, TheCommandSaysExactlyWhatItDid) {
  CHAOS_NEEDS_ROOT();
  Child daemon({make_program("chaosd"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(daemon.pid(), "chaosd"));
  write_pid_file(daemon.pid(), start_time(daemon.pid()));
  const Ran ran = run_ctl(command({"--reason", "it hangs"}));
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("wrote " + (dir_ / "run/STOP").string()),
                             HasSubstr(fmt::format("killed pid {}", daemon.pid())), HasSubstr("engaged in ")));
  EXPECT_THAT(ran.err, HasSubstr("stopping it by force"));
  EXPECT_EQ(read_text(dir_ / "run/STOP"), "it hangs\n");
}

TEST_F(CtlEmergency, ADaemonThatDoesNotAnswerIsGivenOneSecond) {
  CHAOS_NEEDS_ROOT();
  const FakeDaemon hung(dir_ / "run/chaosd.sock", [](const FakeRequest&) {
    return FakeReply{200, "", FakeReply::Kind::kSilent};
  });
  Child daemon({make_program("chaosd"), "1000"}, dir_.path());
  ASSERT_TRUE(wait_for_exe(daemon.pid(), "chaosd"));
  write_pid_file(daemon.pid(), start_time(daemon.pid()));
  const Ran ran = run_ctl(command({"-o", "json"}));
  EXPECT_EQ(ran.exit, 0) << ran.err;
  const Json document = Json::parse(ran.out);
  EXPECT_EQ(document["killed_pid"], daemon.pid());
  EXPECT_EQ(document["latched"], true);
  EXPECT_EQ(document["steps"].size(), 4U);
  EXPECT_THAT(ran.err, HasSubstr("does not answer within 1s"));
}

TEST_F(CtlEmergency, WithoutADaemonItStillLatches) {
  CHAOS_NEEDS_ROOT();
  const Ran ran = run_ctl(command());
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("none is running"));
  EXPECT_TRUE(latched());
}

/// This thread is nobody for as long as it lives (the system call changes one thread, glibc's wrapper all).
class AsNobody {
 public:
  AsNobody() { ::syscall(SYS_setresuid, -1, 65534, -1); }
  ~AsNobody() { ::syscall(SYS_setresuid, -1, 0, -1); }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
};

TEST_F(CtlEmergency, OnlyRootMayUseForce) {
  const bool root = ::geteuid() == 0;
  std::filesystem::permissions(dir_.path(), std::filesystem::perms(0755));
  std::optional<AsNobody> nobody;
  if (root) nobody.emplace();
  const Ran ran = run_ctl(command());
  nobody.reset();
  EXPECT_EQ(ran.exit, 4);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("only root may end it by force"), HasSubstr("hint: sudo chaosctl")));
  EXPECT_FALSE(latched());
  EXPECT_FALSE(std::filesystem::exists(dir_ / "run/STOP"));
}

TEST(CtlResidue, LooksItselfWhenTheDaemonDoesNotAnswer) {
  CHAOS_NEEDS_ROOT();
  const ScratchDir dir;
  const std::string socket = (dir / "chaosd.sock").string();
  const Ran ran = run_ctl({"--socket", socket, "residue", "--instance", "ctl-unit-test", "-o", "json"});
  EXPECT_THAT(ran.err, HasSubstr("looking for residue on this host directly"));
  const Json document = Json::parse(ran.out, nullptr, false);
  ASSERT_TRUE(document.is_object()) << ran.out;
  EXPECT_EQ(document["clean"].get<bool>(), ran.exit == 0);

  write_text(dir / "chaosd.pid", "1 1\n");
  const Ran left = run_ctl({"--socket", socket, "residue", "--instance", "ctl-unit-test"});
  EXPECT_EQ(left.exit, 1);
  EXPECT_THAT(left.out, AllOf(HasSubstr("file"), HasSubstr((dir / "chaosd.pid").string())));
}

TEST(CtlResidue, AsksAnotherInstanceNothing) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest& request) {
    if (request.path == "/health") return FakeReply{200, R"({"instance":"other"})"};
    return FakeReply{200, R"({"clean":true,"residue":[]})"};
  });
  const Ran ran = run_ctl_on(daemon, {"residue", "--instance", "bad/name"});
  EXPECT_THAT(ran.err, HasSubstr("another instance"));
  EXPECT_EQ(ran.exit, ::geteuid() == 0 ? 2 : 4);
}

}  // namespace
}  // namespace chaos::test
