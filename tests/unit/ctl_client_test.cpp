// The daemon that is not there, does not answer, or may not be asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include <atomic>

#include "ctl/client.h"
#include "ctl/problem.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Client;
using ctl::Exit;
using ctl::Json;
using testing::AllOf;
using testing::HasSubstr;

/// File modes bind root as well for as long as this lives; capabilities belong to the calling thread alone.
class BoundByModes {
 public:
  BoundByModes() {
    ::syscall(SYS_capget, &header_, before_);
    __user_cap_data_struct without[2] = {before_[0], before_[1]};
    without[0].effective &= ~((1U << CAP_DAC_OVERRIDE) | (1U << CAP_DAC_READ_SEARCH));
    ::syscall(SYS_capset, &header_, without);
  }
  ~BoundByModes() { ::syscall(SYS_capset, &header_, before_); }
  BoundByModes(const BoundByModes&) = delete;
  BoundByModes& operator=(const BoundByModes&) = delete;

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct before_[2]{};
};

FakeReply hello(const FakeRequest&) { return {200, R"({"scenarios":[]})"}; }

TEST(CtlClient, NotReachableIsExitFive) {
  const ScratchDir dir;
  const std::string socket = (dir / "chaosd.sock").string();
  const Ran absent = run_ctl({"--socket", socket, "list"});
  EXPECT_EQ(absent.exit, 5);
  EXPECT_THAT(absent.err, AllOf(HasSubstr("there is no socket " + socket), HasSubstr("hint: start it")));

  write_text(socket, "a file");
  EXPECT_EQ(run_ctl({"--socket", socket, "list"}).exit, 5);
  EXPECT_THAT(run_ctl({"--socket", socket, "list"}).err, HasSubstr("nobody listens"));

  const Ran json = run_ctl({"--socket", socket, "-o", "json", "list"});
  EXPECT_EQ(json.out, "");
  EXPECT_EQ(Json::parse(json.err)["type"], "urn:chaosd:problem:unreachable");
}

TEST(CtlClient, TheEnvironmentNamesTheSocketAndTheOptionWins) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", hello);
  const ScopedEnv env("CHAOSD_SOCKET", daemon.socket().c_str());
  EXPECT_EQ(run_ctl({"list"}).exit, 0);
  EXPECT_EQ(run_ctl({"list", "--socket", (dir / "other").string()}).exit, 5);
}

TEST(CtlClient, ProxiesOfTheEnvironmentAreNotUsed) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", hello);
  const ScopedEnv http("http_proxy", "http://127.0.0.1:1");
  const ScopedEnv all("ALL_PROXY", "http://127.0.0.1:1");
  EXPECT_EQ(run_ctl_on(daemon, {"list"}).exit, 0);
}

TEST(CtlClient, AnImpossibleSocketIsAUsageError) {
  const Ran ran = run_ctl({"--socket", "/" + std::string(200, 'x'), "list"});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_THAT(ran.err, HasSubstr("1 to 107 bytes"));
  EXPECT_EQ(run_ctl({"--socket", "", "list"}).exit, 2);
}

TEST(CtlClient, ADaemonThatHangsOrBreaksOffIsNotReachable) {
  const ScratchDir dir;
  std::atomic<FakeReply::Kind> kind = FakeReply::Kind::kSilent;
  const FakeDaemon daemon(dir / "chaosd.sock", [&](const FakeRequest&) { return FakeReply{200, "{}", kind}; });
  Client client(daemon.socket());
  client.set_timeout(std::chrono::milliseconds(50));
  const auto silent = client.get("/health");
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().exit, Exit::kUnreachable);
  EXPECT_EQ(silent.error().sys_errno, ETIMEDOUT);
  EXPECT_THAT(render(silent.error()), HasSubstr("does not answer within 50ms"));

  kind = FakeReply::Kind::kBroken;
  const Ran broken = run_ctl_on(daemon, {"list"});
  EXPECT_EQ(broken.exit, 5);
  EXPECT_THAT(broken.err, HasSubstr("broke off"));
}

TEST(CtlClient, WhatIsNotJsonIsAFailure) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest&) { return FakeReply{200, "<html>"}; });
  const Ran ran = run_ctl_on(daemon, {"list"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("not JSON"));
}

TEST(CtlClient, ReadsFallBackToTheViewSocketWhereTheOtherIsClosed) {
  const ScratchDir dir;
  const FakeDaemon operate(dir / "chaosd.sock", hello);
  const FakeDaemon view(dir / "chaosd-view.sock", hello);
  ASSERT_EQ(::chmod(operate.socket().c_str(), 0), 0);
  const BoundByModes bound;
  EXPECT_EQ(run_ctl_on(operate, {"list"}).exit, 0);
  EXPECT_EQ(view.requests().size(), 1U);

  const Ran start = run_ctl_on(operate, {"start", "packet_loss"});
  EXPECT_EQ(start.exit, 4);
  EXPECT_THAT(start.err, AllOf(HasSubstr("you may not open"), HasSubstr("usermod -aG chaos USER")));
  EXPECT_EQ(view.requests().size(), 1U);
  EXPECT_TRUE(operate.requests().empty());
}

TEST(CtlClient, EventStreamsFallBackAsWell) {
  const ScratchDir dir;
  const FakeDaemon operate(dir / "chaosd.sock", hello);
  const FakeDaemon view(dir / "chaosd-view.sock", [](const FakeRequest&) {
    return FakeReply{200, "id: 1\nevent: a\ndata: 1\n\n", FakeReply::Kind::kClosed};
  });
  ASSERT_EQ(::chmod(operate.socket().c_str(), 0), 0);
  const BoundByModes bound;
  EXPECT_EQ(run_ctl_on(operate, {"events"}).exit, 0);
}

TEST(CtlClient, WithNeitherSocketOpenItIsTheRole) {
  const ScratchDir dir;
  const FakeDaemon operate(dir / "chaosd.sock", hello);
  ASSERT_EQ(::chmod(operate.socket().c_str(), 0), 0);
  const BoundByModes bound;
  EXPECT_EQ(run_ctl_on(operate, {"list"}).exit, 4);
  const FakeDaemon view(dir / "chaosd-view.sock", hello);
  ASSERT_EQ(::chmod(view.socket().c_str(), 0), 0);
  const Ran ran = run_ctl_on(operate, {"list"});
  EXPECT_EQ(ran.exit, 4);
  EXPECT_THAT(ran.err, HasSubstr(operate.socket()));
}

TEST(CtlClient, ARefusedStreamIsAProblem) {
  const ScratchDir dir;
  const FakeDaemon daemon(dir / "chaosd.sock", [](const FakeRequest&) {
    return FakeReply{503, R"({"detail":"too many clients follow"})"};
  });
  const Ran ran = run_ctl_on(daemon, {"events", "--follow"});
  EXPECT_EQ(ran.exit, 1);
  EXPECT_THAT(ran.err, HasSubstr("too many clients follow"));
}

TEST(CtlClient, EscapesPathSegments) {
  EXPECT_EQ(ctl::url_escape("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(ctl::url_escape("/?#% ü"), "%2F%3F%23%25%20%C3%BC");
}

}  // namespace
}  // namespace chaos::test
