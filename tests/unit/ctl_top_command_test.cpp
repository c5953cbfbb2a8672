// chaosctl top as a command: its flags, once as text or JSON, and requests that are given up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <thread>

#include "ctl_support.h"
#include "ctl_top_support.h"

namespace chaos::test {
namespace {

using ctl::TopSample;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CtlTop : public FakeDaemonTest {
 protected:
  void answer_all() {
    const TopSample sample = sample_at(0);
    answer("GET /health", sample.health.dump());
    answer("GET /api/chaos/scenarios", sample.scenarios.dump());
    answer("GET /api/services", sample.services.dump());
    answer("GET /api/monitoring/metrics?pattern=chaosd_host_%2A", sample.host.dump());
    answer("GET /api/monitoring/metrics?pattern=chaosd_service_%2A", sample.service_metrics.dump());
  }
};

TEST_F(CtlTop, OnceAsText) {
  answer_all();
  const Ran ran = run({"top", "--once", "--interval", "100ms"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("chaosd 0.1.0"), HasSubstr("packet_loss"), HasSubstr("store"),
                             HasSubstr("--drops attaches"), Not(HasSubstr("\x1b"))));
}

TEST_F(CtlTop, OnceAsJson) {
  answer_all();
  const Ran ran = run({"-o", "json", "top", "--once", "--drops"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  const ctl::Json document = ctl::Json::parse(ran.out);
  EXPECT_EQ(document.at("scenarios").at("scenarios").size(), 1U);
  EXPECT_EQ(document.at("drops").at("problem").at("detail"), "no such");
}

TEST_F(CtlTop, RefusesWhatCannotBe) {
  EXPECT_EQ(run({"top", "--interval", "1ms"}).exit, 2);
  EXPECT_EQ(run({"top", "--once", "--batch"}).exit, 2);
  const Ran json = run({"-o", "json", "top"});
  EXPECT_EQ(json.exit, 2);
  EXPECT_THAT(json.err, HasSubstr("--once"));
  answer_all();
  const Ran ran = run_ctl({"--socket", (dir_ / "none").string(), "top"});
  EXPECT_EQ(ran.exit, 5) << "who cannot reach the daemon is told so, and gets no screen";
}

TEST_F(CtlTop, ARequestIsGivenUpWhenToldTo) {
  answer("GET /health", "", 200, FakeReply::Kind::kSilent);
  const UniqueFd give_up(::eventfd(0, EFD_CLOEXEC));
  ctl::Client client(daemon_.socket());
  client.set_interrupt(give_up.get());
  std::thread later([&] {
    EXPECT_TRUE(daemon_.wait_for("/health"));
    ::eventfd_write(give_up.get(), 1);
  });
  const auto answer = client.get("/health");
  later.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().exit, ctl::Exit::kInterrupted);
}

}  // namespace
}  // namespace chaos::test
