// What a client that follows the daemon sees, and what one that asks twice gets.
#include <csignal>
#include <memory>
#include <optional>
#include <thread>

#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/requests.h"

namespace chaos::test {
namespace {

using nlohmann::json;

struct Event {
  std::uint64_t id = 0;
  std::string type;
  json data;
};

/// curl(1) on GET /api/events. Ends by itself after 20 s, so that no test waits for ever.
class Follower {
 public:
  explicit Follower(const std::string& socket, std::optional<std::uint64_t> last_id = std::nullopt)
      : curl_("/usr/bin/curl", arguments(socket, last_id)) {
    subscribed_ = curl_.read_line().starts_with("retry:");
  }
  /// The server has answered: what happens from now on is seen.
  [[nodiscard]] bool subscribed() const { return subscribed_; }

  /// The next event; nullopt at the end of the stream.
  [[nodiscard]] std::optional<Event> next() {
    Event event;
    for (int blank = 0; blank < 3;) {
      const std::string line = curl_.read_line();
      if (line.starts_with("id: ")) event.id = std::stoull(line.substr(4));
      if (line.starts_with("event: ")) event.type = line.substr(7);
      if (line.starts_with("data: ")) event.data = json::parse(line.substr(6), nullptr, false);
      if (!line.empty()) continue;
      if (!event.type.empty()) return event;
      ++blank;
    }
    return std::nullopt;
  }
  /// The next event of scenario `id` in `state`.
  [[nodiscard]] std::optional<Event> next(const std::string& id, const std::string& state) {
    while (auto event = next()) {
      if (event->type == "scenario" && event->data.value("id", "") == id && event->data.value("state", "") == state) {
        return event;
      }
    }
    return std::nullopt;
  }

 private:
  static std::vector<std::string> arguments(const std::string& socket, std::optional<std::uint64_t> last_id) {
    std::vector<std::string> all{"curl", "-sN", "--max-time", "20", "--unix-socket", socket};
    if (last_id) {
      all.emplace_back("-H");
      all.push_back("Last-Event-ID: " + std::to_string(*last_id));
    }
    all.emplace_back("http://chaosd/api/events");
    return all;
  }

  Child curl_;
  bool subscribed_ = false;
};

class Events : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    net_ = std::make_unique<VethPair>("events");
    daemon_ = std::make_unique<Daemon>();
  }
  void TearDown() override {
    daemon_.reset();
    net_.reset();
  }
  std::string run_once() const {
    std::string id = id_of(daemon_->run_scenario(total_loss(net_->left)));
    (void)daemon_->stop_scenario(id);
    return id;
  }

  std::unique_ptr<VethPair> net_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Events, FollowersOnBothSocketsSeeStartAndStop) {
  for (const std::string& socket : {daemon_->socket(), daemon_->view_socket()}) {
    Follower follower(socket);
    ASSERT_TRUE(follower.subscribed());
    const std::string id = run_once();
    std::uint64_t last = 0;
    for (const char* state : {"queued", "active", "stopping", "completed"}) {
      const auto event = follower.next(id, state);
      ASSERT_TRUE(event) << state;
      EXPECT_GT(event->id, last) << state;
      last = event->id;
      EXPECT_EQ(event->data.value("kind", ""), "packet_loss");
    }
  }
}

TEST_F(Events, FollowerThatComesBackMissesNothing) {
  std::uint64_t seen = 0;
  std::string id;
  {
    Follower follower(daemon_->socket());
    ASSERT_TRUE(follower.subscribed());
    id = id_of(daemon_->run_scenario(total_loss(net_->left)));
    const auto active = follower.next(id, "active");
    ASSERT_TRUE(active);
    seen = active->id;
  }
  (void)daemon_->stop_scenario(id);
  Follower again(daemon_->socket(), seen);
  ASSERT_TRUE(again.subscribed());
  auto event = again.next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->id, seen + 1);
  EXPECT_EQ(event->data.value("id", ""), id);
  EXPECT_EQ(event->data.value("state", ""), "stopping");
  EXPECT_TRUE(again.next(id, "completed"));
  // And goes on with what happens from now on.
  EXPECT_TRUE(again.next(run_once(), "completed"));
}

TEST_F(Events, IdThatIsNoLongerKeptStartsAnew) {
  (void)run_once();
  Follower old(daemon_->socket(), 1);
  ASSERT_TRUE(old.subscribed());
  const auto event = old.next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->type, "reset");

  // Ids do not repeat over a restart: one of the life before is unknown, not taken for another event.
  const std::uint64_t before = event->id;
  EXPECT_EQ(daemon_->stop(), 0);
  daemon_->start();
  (void)run_once();
  Follower after(daemon_->socket(), before);
  const auto first = after.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->type, "reset");
}

TEST_F(Events, EmergencyStopAndRearmAreEvents) {
  Follower follower(daemon_->socket());
  ASSERT_TRUE(follower.subscribed());
  for (const bool by_signal : {false, true}) {
    const std::string id = id_of(daemon_->run_scenario(total_loss(net_->left)));
    if (by_signal) {
      daemon_->signal(SIGUSR1);
    } else {
      ASSERT_EQ(daemon_->post("/api/chaos/emergency-stop", {{"reason", "event test"}}).status, 200);
    }
    (void)wait_for_end(*daemon_, id);
    ASSERT_EQ(daemon_->post("/api/chaos/rearm").status, 200);
    json stopped;
    for (std::string type; type != "rearm";) {
      const auto event = follower.next();
      ASSERT_TRUE(event);
      type = event->type;
      if (type == "emergency_stop") stopped = event->data.at("stopped");
    }
    EXPECT_EQ(stopped, json::array({id})) << (by_signal ? "SIGUSR1" : "POST");
  }
}

TEST_F(Events, StreamEndsWithTheDaemon) {
  Follower follower(daemon_->socket());
  ASSERT_TRUE(follower.subscribed());
  EXPECT_EQ(daemon_->stop(), 0);
  while (const auto event = follower.next()) EXPECT_NE(event->type, "scenario");
}

class Idempotency : public Events {
 protected:
  [[nodiscard]] Response start(const json& request, const std::string& key) const {
    return http(daemon_->socket(), "POST", "/api/chaos/scenarios", request.dump(), {"Idempotency-Key: " + key});
  }
  [[nodiscard]] std::size_t scenarios() const {
    return daemon_->get("/api/chaos/scenarios?all=true").body.at("scenarios").size();
  }
};

TEST_F(Idempotency, SameKeyStartsOnce) {
  const json request = total_loss(net_->left);
  const Response first = start(request, "one");
  ASSERT_EQ(first.status, 201) << first.text;
  const Response second = start(request, "one");
  EXPECT_EQ(second.status, 201) << second.text;
  EXPECT_EQ(second.text, first.text);
  EXPECT_EQ(scenarios(), 1U);

  json other = request;
  other["duration"] = "2m";
  const Response misused = start(other, "one");
  EXPECT_EQ(misused.status, 422) << misused.text;
  EXPECT_EQ(scenarios(), 1U);
  EXPECT_EQ(start(other, "two").status, 201);
  EXPECT_EQ(scenarios(), 2U);
}

TEST_F(Idempotency, SameKeyAtTheSameTimeStartsOnce) {
  const json request = total_loss(net_->left);
  std::vector<Response> answers(8);
  std::vector<std::thread> clients;
  for (Response& answer : answers) clients.emplace_back([&] { answer = start(request, "race"); });
  for (std::thread& client : clients) client.join();
  for (const Response& answer : answers) {
    EXPECT_EQ(answer.status, 201) << answer.text;
    EXPECT_EQ(answer.text, answers.front().text);
  }
  EXPECT_EQ(scenarios(), 1U);
}

TEST_F(Idempotency, StopMayBeAskedTwice) {
  const std::string id = id_of(daemon_->run_scenario(total_loss(net_->left)));
  const json first = daemon_->stop_scenario(id);
  const json second = daemon_->stop_scenario(id);
  EXPECT_EQ(first, second);
}

}  // namespace
}  // namespace chaos::test
