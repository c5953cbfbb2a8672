// Watches are attached while somebody asks, and no longer. Observers: bpftool(8), ids that the kernel knows.
#include <gmock/gmock.h>

#include <csignal>

#include "support/observe.h"
#include "watch_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class WatchLife : public WatchBed {
 protected:
  /// Links of the daemon beyond those that it always has.
  [[nodiscard]] std::set<std::uint32_t> links() const {
    std::set<std::uint32_t> found = bpf_objects_of(daemon_.pid()).links;
    for (const std::uint32_t id : at_rest_) found.erase(id);
    return found;
  }
  [[nodiscard]] std::unique_ptr<Asker> ask(const std::string& path) const {
    return std::make_unique<Asker>(daemon_.socket(), "/api/monitoring/" + path);
  }
  std::set<std::uint32_t> at_rest_ = bpf_objects_of(daemon_.pid()).links;
};

TEST_F(WatchLife, NothingIsAttachedUntilSomebodyAsksAndNothingOnceItHasGone) {
  EXPECT_TRUE(links().empty());
  auto asker = ask("drops?interval=200ms");
  EXPECT_EQ(asker->read_line_with("event"), "event: drops");
  const json first = json::parse(asker->read_line().substr(6));
  EXPECT_EQ(first.at("scope"), "host");
  EXPECT_EQ(links().size(), 2U);
  const auto known = bpftool_links();
  for (const std::uint32_t id : links()) EXPECT_TRUE(known.contains(id));
  EXPECT_TRUE(daemon_.get("/api/chaos/residue").body.at("clean")) << daemon_.get("/api/chaos/residue").text;
  // Another one who asks the same shares the programs.
  auto other = ask("drops?interval=200ms");
  EXPECT_EQ(other->read_line_with("event"), "event: drops");
  EXPECT_EQ(links().size(), 2U);
  other.reset();
  EXPECT_NE(asker->read_line_with("event"), "") << "it goes on for the first one";
  asker.reset();
  EXPECT_TRUE(eventually([&] { return links().empty(); }, std::chrono::seconds(4)));
  EXPECT_TRUE(eventually([&] { return !daemon_.get("/metrics").text.contains("chaosd_oom_kills_total"); }))
      << "series are left";
}

TEST_F(WatchLife, EndsByItsDurationWithOneAnswer) {
  auto asker = ask("tcp?duration=1500ms");
  ASSERT_TRUE(eventually([&] { return links().size() == 5; }));
  const json answer = json::parse(asker->read_line_with("{"));
  EXPECT_GE(answer.at("seconds").get<double>(), 1.5);
  EXPECT_EQ(asker->read_line(), "") << "the connection ends with the answer";
  EXPECT_TRUE(eventually([&] { return links().empty(); }, std::chrono::seconds(2)));
}

TEST_F(WatchLife, AnAskerWhoGoesAwayBeforeTheAnswerEndsIt) {
  auto asker = ask("drops?duration=60s");
  ASSERT_TRUE(eventually([&] { return links().size() == 2; }));
  asker.reset();
  EXPECT_TRUE(eventually([&] { return links().empty(); }, std::chrono::seconds(4)));
}

TEST_F(WatchLife, WhatIsKeptByALeaseEndsWithIt) {
  const json first = daemon_.get("/api/monitoring/drops?lease=1s").body;
  EXPECT_EQ(links().size(), 2U);
  const json second = daemon_.get("/api/monitoring/drops?lease=1s").body;
  EXPECT_EQ(first.at("since"), second.at("since")) << "it was attached anew";
  EXPECT_TRUE(eventually([&] { return links().empty(); }, std::chrono::seconds(4)));
}

TEST_F(WatchLife, EndsWithChaosdKilledOrNot) {
  for (const int signo : {SIGKILL, SIGTERM}) {
    auto asker = ask("drops?interval=100ms");
    EXPECT_EQ(asker->read_line_with("event"), "event: drops");
    ASSERT_EQ(daemon_.get("/api/monitoring/tcp?lease=60s").status, 200);
    const BpfObjects held = bpf_objects_of(daemon_.pid());
    daemon_.signal(signo);
    (void)daemon_.wait();
    EXPECT_TRUE(eventually([&] { return still_there(held).empty(); })) << signo;
    daemon_.start();
  }
}

TEST_F(WatchLife, BadQuestionsAreRefusedWithTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {"drops?duration=1ms", "query.duration"},       {"drops?duration=2h", "query.duration"},
      {"tcp?interval=10ms", "query.interval"},        {"drops?lease=5m", "query.lease"},
      {"drops?lease=5s&interval=1s", "query.lease"},  {"drops?target=web", "query.target"},
      {"drops?target=pid=1", "target.pid"},           {"tcp?target=service=web", "target.service"},
      {"drops?target=cgroup=/none", "target.cgroup"}, {"drops?for=1s", "query.for"},
      {"drops?target=unit=a,cgroup=/b", "target"}};
  for (const auto& [path, field] : cases) {
    const Response answer = daemon_.get(std::string("/api/monitoring/") + path);
    EXPECT_GE(answer.status, 400) << path;
    EXPECT_LT(answer.status, 500) << path;
    EXPECT_EQ(answer.body.value("field", ""), field) << answer.text;
  }
  EXPECT_TRUE(links().empty());
}

TEST_F(WatchLife, NoMoreThanEightThingsAtOnce) {
  std::vector<TestCgroup> cgroups;
  for (int i = 0; i < 9; ++i) cgroups.emplace_back("w" + std::to_string(i));
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(
        daemon_.get("/api/monitoring/drops?lease=30s&target=cgroup=" + cgroups[static_cast<std::size_t>(i)].path())
            .status,
        200);
  }
  const Response refused = daemon_.get("/api/monitoring/drops?lease=30s&target=cgroup=" + cgroups[8].path());
  EXPECT_EQ(refused.status, 409) << refused.text;
  EXPECT_THAT(refused.text, HasSubstr("at most 8"));
}

}  // namespace
}  // namespace chaos::test
