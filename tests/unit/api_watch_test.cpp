// Requests for eBPF telemetry: what is asked for, and what is refused.
#include "api/watch_query.h"

#include <gtest/gtest.h>

#include "api_daemon.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct ApiWatch : testing::Test {
  FakeDaemon daemon;
};

TEST_F(ApiWatch, ParametersArriveAsTheyAreMeant) {
  EXPECT_EQ(daemon.ask("GET", "/api/monitoring/drops").status, 200);
  EXPECT_EQ(daemon.ask("GET", "/api/monitoring/tcp?target=service=web&interval=1500ms").status, 200);
  EXPECT_EQ(daemon.ask("GET", "/api/monitoring/drops?lease=5s").status, 200);
  EXPECT_EQ(daemon.ask("GET", "/api/monitoring/drops?duration=2m&target=cgroup=/a%3Db").status, 200);
  ASSERT_EQ(daemon.watched.size(), 4U);
  EXPECT_EQ(daemon.watched[0].ask.kind, WatchKind::kDrops);
  EXPECT_TRUE(daemon.watched[0].ask.target.empty());
  EXPECT_EQ(daemon.watched[0].duration, seconds(10));
  EXPECT_EQ(daemon.watched[1].ask.kind, WatchKind::kTcp);
  EXPECT_EQ(daemon.watched[1].ask.target, (TargetKeys{{"service", {"web"}}}));
  EXPECT_EQ(daemon.watched[1].interval, milliseconds(1500));
  EXPECT_EQ(daemon.watched[1].duration, std::chrono::hours(1));
  EXPECT_EQ(daemon.watched[2].lease, seconds(5));
  EXPECT_FALSE(daemon.watched[2].interval);
  EXPECT_EQ(daemon.watched[3].ask.target, (TargetKeys{{"cgroup", {"/a=b"}}}));
  EXPECT_EQ(daemon.watched[3].duration, std::chrono::minutes(2));
}

TEST_F(ApiWatch, NonsenseIsRefusedWithTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"duration=", "query.duration"},  {"duration=99ms", "query.duration"},   {"duration=61m", "query.duration"},
      {"interval=x", "query.interval"}, {"interval=99ms", "query.interval"},   {"interval=61s", "query.interval"},
      {"lease=999ms", "query.lease"},   {"lease=61s", "query.lease"},          {"lease=5s&duration=10s", "query.lease"},
      {"target=", "query.target"},      {"target=web", "query.target"},        {"target=service=", "query.target"},
      {"target==web", "query.target"},  {"target=service=a,", "query.target"}, {"every=1s", "query.every"},
  };
  for (const auto& [query, field] : cases) {
    const Reply reply = daemon.ask("GET", std::string("/api/monitoring/drops?") + query);
    EXPECT_EQ(reply.status, 400) << query << reply.body;
    EXPECT_EQ(json::parse(reply.body).value("field", ""), field) << query;
  }
  EXPECT_TRUE(daemon.watched.empty());
}

TEST_F(ApiWatch, WhyNothingIsWatchedIsPassedOn) {
  daemon.refusal = Error{Errc::kUnsupported, "no such tracepoint"};
  const Reply reply = daemon.ask("GET", "/api/monitoring/tcp");
  EXPECT_EQ(reply.status, 501);
  EXPECT_NE(reply.body.find("no such tracepoint"), std::string::npos);
}

}  // namespace
}  // namespace chaos::test
