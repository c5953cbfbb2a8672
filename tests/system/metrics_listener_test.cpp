// Where /metrics is served over TCP, and that a reload moves it: seen by curl and ss in a network namespace of the
// test's.
#include <gmock/gmock.h>

#include <string>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"

namespace chaos::test {
namespace {

using testing::HasSubstr;

class MetricsListener : public testing::Test {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
  static std::string listens(const std::string& address) {
    return "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n"
           "metrics: {listen: '" +
           address + "'}\n";
  }
  [[nodiscard]] Daemon::Setup at(const std::string& address) const {
    Daemon::Setup setup;
    setup.config = listens(address);
    setup.wrapper = {"nsenter", "--net=/run/netns/" + ns_.name(), "--"};
    return setup;
  }
  [[nodiscard]] std::string addresses() const { return ns_.command("ss -Hltn"); }
  [[nodiscard]] std::string scrape(const std::string& address) const {
    return ns_.command("curl -sS --noproxy '*' --max-time 5 http://" + address + "/metrics");
  }
  static Response move(const Daemon& daemon, const std::string& address) {
    daemon.write_config(listens(address));
    return daemon.post("/api/config/reload");
  }

  const Namespace ns_{"listen"};
};

TEST_F(MetricsListener, AReloadMovesItToTheSamePortOfEveryAddressAndBack) {
  const Daemon daemon(at("127.0.0.1:9750"));
  EXPECT_THAT(scrape("127.0.0.1:9750"), HasSubstr("chaosd_"));
  Response moved = move(daemon, "0.0.0.0:9750");
  EXPECT_EQ(moved.status, 200) << moved.text;
  EXPECT_THAT(addresses(), HasSubstr("0.0.0.0:9750"));
  EXPECT_THAT(scrape("127.0.0.1:9750"), HasSubstr("chaosd_"));
  moved = move(daemon, "localhost:9750");
  EXPECT_EQ(moved.status, 200) << moved.text;
  EXPECT_THAT(addresses(), HasSubstr("127.0.0.1:9750"));
  EXPECT_THAT(scrape("127.0.0.1:9750"), HasSubstr("chaosd_"));
}

TEST_F(MetricsListener, WhereSomebodyElseListensItStaysWhereItWas) {
  const Daemon daemon(at("127.0.0.1:9750"));
  const Daemon other(at("127.0.0.1:9751"));
  const Response refused = move(daemon, "127.0.0.1:9751");
  EXPECT_NE(refused.status, 200) << refused.text;
  EXPECT_THAT(refused.text, HasSubstr("in use"));
  EXPECT_THAT(scrape("127.0.0.1:9750"), HasSubstr("chaosd_"));
  EXPECT_EQ(move(daemon, "127.0.0.1:9752").status, 200);
  EXPECT_THAT(scrape("127.0.0.1:9752"), HasSubstr("chaosd_"));
}

}  // namespace
}  // namespace chaos::test
