#include "announce/announcer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "api/schema.h"
#include "tests/support/receiver.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Scenario scenario(const std::string& id, State state) {
  Scenario record;
  record.id = id;
  record.state = state;
  record.request.kind = "packet_loss";
  record.request.target = {{"interface", {"eth1"}}};
  record.owner.user = "alice";
  if (is_final(state)) record.end_reason = EndReason::kExpired;
  return record;
}

struct AnnouncerTest : testing::Test {
  AnnouncerTest() { fs::create_directories(files.path() / "motd.d"); }
  [[nodiscard]] std::string motd() const {
    std::ifstream file(files.path() / "motd.d/chaosd-blue");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  test::TempDir files;
  Announcer announcer{Announcer::Place{.instance = "blue",
                                       .runtime_dir = files.path(),
                                       .socket = files.path() / "chaosd.sock",
                                       .motd_dir = files.path() / "motd.d"}};
};

TEST_F(AnnouncerTest, TellsOfStartAndEndOnceEach) {
  const test::Receiver receiver;
  announcer.configure({{.url = receiver.url()}}, false);
  for (const State state : {State::kQueued, State::kActive, State::kActive}) {
    announcer.on_change(scenario("1", state));
    EXPECT_EQ(motd().contains("packet_loss on interface=eth1"), state == State::kActive) << motd();
  }
  EXPECT_EQ(announcer.status(), "1 scenario active (packet_loss)");
  EXPECT_TRUE(motd().contains("chaosctl --socket " + (files.path() / "chaosd.sock").string())) << motd();
  announcer.on_change(scenario("1", State::kStopping));
  EXPECT_NE(motd(), "") << "its target is not as before yet";
  announcer.on_change(scenario("1", State::kCompleted));
  EXPECT_EQ(motd(), "");
  EXPECT_EQ(announcer.status(), "0 scenarios active");

  const auto bodies = receiver.bodies(2);
  ASSERT_EQ(bodies.size(), 2U);
  const json start = json::parse(bodies[0]);
  EXPECT_EQ(start.at("event"), "start");
  EXPECT_EQ(start.at("instance"), "blue");
  EXPECT_NE(start.at("host"), "");
  EXPECT_EQ(start.at("time").get<std::string>().size(), std::string_view("2026-11-24T06:34:37.123Z").size());
  EXPECT_EQ(start.at("scenario"), to_json(scenario("1", State::kActive)));
  const json end = json::parse(bodies[1]);
  EXPECT_EQ(end.at("event"), "end");
  EXPECT_EQ(end.at("scenario"), to_json(scenario("1", State::kCompleted)));
}

TEST_F(AnnouncerTest, ScenarioThatNeverActedIsNotAnnounced) {
  const test::Receiver receiver;
  announcer.configure({{.url = receiver.url(), .events = {"start", "end", "emergency_stop"}}}, false);
  announcer.on_change(scenario("1", State::kQueued));
  announcer.on_change(scenario("1", State::kFailed));
  const std::vector<std::string> ids{"2", "3"};
  announcer.emergency_stop("a drill", ids);
  const auto bodies = receiver.bodies(1);
  ASSERT_EQ(bodies.size(), 1U);
  const json stop = json::parse(bodies[0]);
  EXPECT_EQ(stop.at("event"), "emergency_stop");
  EXPECT_EQ(stop.at("reason"), "a drill");
  EXPECT_EQ(stop.at("stopped"), json(ids));
}

TEST_F(AnnouncerTest, CountsAreThereWhileWebhooksAre) {
  announcer.configure({}, false);
  EXPECT_FALSE(announcer.webhook_counts());
  const test::Receiver receiver;
  announcer.configure({{.url = receiver.url()}}, false);
  ASSERT_TRUE(announcer.webhook_counts());
  EXPECT_EQ(announcer.webhook_counts()->pending, 0U);
  announcer.configure({}, false);
  EXPECT_FALSE(announcer.webhook_counts());
  announcer.on_change(scenario("1", State::kActive));
  EXPECT_NE(motd(), "");
}

TEST(AnnounceJournal, ManualNamesTheMessageIds) {
  std::ifstream file(fs::path(CHAOS_SOURCE_DIR) / "daemon/chaosd.8.scd");
  const std::string manual(std::istreambuf_iterator<char>(file), {});
  for (const std::string_view id : {kStartMessage, kEndMessage, kEmergencyMessage}) {
    EXPECT_TRUE(manual.contains(id)) << id;
  }
}

}  // namespace
}  // namespace chaos
