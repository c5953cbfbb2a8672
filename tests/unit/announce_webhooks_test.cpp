#include "announce/webhooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "announce/webhook_transfer.h"
#include "tests/support/receiver.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::Receiver;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr WebhookLimits kQuick{.first_wait = milliseconds(10), .longest_wait = milliseconds(20)};
constexpr WebhookLimits kPatient{.first_wait = seconds(30), .longest_wait = seconds(30), .queue = 2};

Webhook hook(const std::string& url, unsigned retries = 3, std::chrono::nanoseconds timeout = seconds(20)) {
  return {.url = url, .timeout = timeout, .retries = retries};
}

bool becomes_true(const std::function<bool()>& condition) {
  const auto end = steady_clock::now() + seconds(10);
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

/// The counts once nothing is pending any more.
WebhookCounts settled(const Webhooks& webhooks) {
  EXPECT_TRUE(becomes_true([&] { return webhooks.counts().pending == 0; }));
  return webhooks.counts();
}

/// Sees when an announcement begins to wait for its next try.
class RetryLog {
 public:
  RetryLog() : old_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", lines_));
  }
  RetryLog(const RetryLog&) = delete;
  RetryLog& operator=(const RetryLog&) = delete;
  ~RetryLog() { spdlog::set_default_logger(old_); }
  [[nodiscard]] bool has_retry() const {
    return becomes_true([this] {
      return std::ranges::any_of(lines_->last_formatted(), [](const auto& line) { return line.contains("again in"); });
    });
  }

 private:
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> lines_ = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(64);
  std::shared_ptr<spdlog::logger> old_;
};

auto first_then(std::size_t count, std::string first, std::string rest = Receiver::status(200)) {
  return [=](std::size_t n) { return n < count ? first : rest; };
}

TEST(Webhooks, PostsJson) {
  const Receiver receiver;
  Webhooks webhooks;
  webhooks.configure({hook(receiver.url("/a?b=c"))});
  webhooks.post("start", R"({"event":"start"})");
  const auto requests = receiver.requests(1);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_THAT(requests[0].head, HasSubstr("POST /a?b=c HTTP/1.1\r\n"));
  EXPECT_THAT(requests[0].head, HasSubstr("Content-Type: application/json"));
  EXPECT_EQ(requests[0].body, R"({"event":"start"})");
  EXPECT_EQ(settled(webhooks).delivered, 1U);
}

TEST(Webhooks, TriesAgainUntilDelivered) {
  const Receiver receiver(first_then(2, Receiver::status(500)));
  Webhooks webhooks(kQuick);
  webhooks.configure({hook(receiver.url())});
  webhooks.post("start", "1");
  webhooks.post("end", "2");
  EXPECT_THAT(receiver.bodies(4), ElementsAre("1", "1", "1", "2")) << "in order";
  const WebhookCounts counts = settled(webhooks);
  EXPECT_EQ(counts.delivered, 2U);
  EXPECT_EQ(counts.failed, 0U);
}

TEST(Webhooks, GivesUpAfterTheLastTry) {
  const Receiver receiver(first_then(3, Receiver::status(404)));
  Webhooks webhooks(kQuick);
  webhooks.configure({hook(receiver.url(), 2)});
  webhooks.post("start", "1");
  webhooks.post("end", "2");
  EXPECT_THAT(receiver.bodies(4), ElementsAre("1", "1", "1", "2"));
  const WebhookCounts counts = settled(webhooks);
  EXPECT_EQ(counts.failed, 1U);
  EXPECT_EQ(counts.delivered, 1U);
}

TEST(Webhooks, NobodyListens) {
  std::string url;
  {
    const Receiver gone;
    url = gone.url();
  }
  Webhooks webhooks(kQuick);
  webhooks.configure({hook(url, 1)});
  webhooks.post("start", "1");
  EXPECT_EQ(settled(webhooks).failed, 1U);
}

TEST(Webhooks, OneThatHangsTimesOutAndDelaysNobodyElse) {
  const Receiver hanging([](std::size_t) { return ""; });
  const Receiver prompt;
  Webhooks webhooks(kQuick);
  webhooks.configure({hook(hanging.url(), 0, milliseconds(300)), hook(prompt.url())});
  const auto begin = steady_clock::now();
  webhooks.post("start", "1");
  EXPECT_EQ(hanging.requests(1).size(), 1U);
  EXPECT_EQ(prompt.requests(1).size(), 1U);
  const WebhookCounts counts = settled(webhooks);
  EXPECT_GE(steady_clock::now() - begin, milliseconds(290)) << "it was waited for; libcurl counts whole ms";
  EXPECT_EQ(counts.failed, 1U);
  EXPECT_EQ(counts.delivered, 1U);
}

TEST(Webhooks, SendsOnlyWhatIsAskedFor) {
  const Receiver receiver;
  Webhooks webhooks;
  Webhook stops = hook(receiver.url());
  stops.events = {"emergency_stop"};
  webhooks.configure({stops});
  webhooks.post("start", "1");
  webhooks.post("emergency_stop", "2");
  EXPECT_THAT(receiver.bodies(1), ElementsAre("2"));
}

TEST(Webhooks, FullQueueDropsTheOldestThatIsNotOnItsWay) {
  const Receiver receiver(first_then(1, ""));
  Webhooks webhooks({.at_shutdown = milliseconds(0), .queue = 2});
  webhooks.configure({hook(receiver.url())});
  webhooks.post("start", "1");
  ASSERT_EQ(receiver.requests(1).size(), 1U);
  webhooks.post("start", "2");
  EXPECT_EQ(webhooks.counts().dropped, 0U);
  webhooks.post("start", "3");
  EXPECT_EQ(webhooks.counts().dropped, 1U);
  EXPECT_EQ(webhooks.counts().pending, 2U);
}

TEST(Webhooks, FullQueueDropsWhatWaitsForItsNextTry) {
  const RetryLog log;
  const Receiver receiver(first_then(1, Receiver::status(500)));
  Webhooks webhooks(kPatient);
  webhooks.configure({hook(receiver.url())});
  webhooks.post("start", "1");
  ASSERT_TRUE(log.has_retry());
  webhooks.post("start", "2");
  webhooks.post("start", "3");
  EXPECT_THAT(receiver.bodies(3), ElementsAre("1", "2", "3")) << "the next one does not wait";
  const WebhookCounts counts = settled(webhooks);
  EXPECT_EQ(counts.dropped, 1U);
  EXPECT_EQ(counts.delivered, 2U);
}

TEST(Webhooks, EndWhileWaitingForTheNextTryIsQuick) {
  const RetryLog log;
  const Receiver receiver(first_then(1, Receiver::status(500)));
  auto webhooks = std::make_unique<Webhooks>(kPatient);
  webhooks->configure({hook(receiver.url())});
  webhooks->post("end", "1");
  ASSERT_TRUE(log.has_retry());
  const auto begin = steady_clock::now();
  webhooks.reset();
  EXPECT_LT(steady_clock::now() - begin, seconds(2));
  EXPECT_THAT(receiver.bodies(2), ElementsAre("1", "1"));
}

TEST(Webhooks, EndDeliversWhatIsPending) {
  const Receiver receiver(first_then(1, Receiver::status(500)));
  auto webhooks = std::make_unique<Webhooks>(WebhookLimits{.first_wait = seconds(30)});
  webhooks->configure({hook(receiver.url())});
  webhooks->post("start", "1");
  ASSERT_EQ(receiver.requests(1).size(), 1U);
  for (const char* body : {"2", "3"}) webhooks->post("end", body);
  webhooks.reset();
  EXPECT_THAT(receiver.bodies(3), testing::IsSupersetOf({"1", "2", "3"}));
}

TEST(Webhooks, EndDoesNotWaitForOneThatHangs) {
  const Receiver receiver([](std::size_t) { return ""; });
  auto webhooks = std::make_unique<Webhooks>(WebhookLimits{.at_shutdown = milliseconds(200)});
  webhooks->configure({hook(receiver.url())});
  webhooks->post("end", "1");
  webhooks->post("end", "2");
  ASSERT_EQ(receiver.requests(1).size(), 1U);
  const auto begin = steady_clock::now();
  webhooks.reset();
  EXPECT_GE(steady_clock::now() - begin, milliseconds(200));
  EXPECT_LT(steady_clock::now() - begin, seconds(3));
}

TEST(Webhooks, RedirectsLeadToHttpOnly) {
  const Receiver other;
  const Receiver receiver([&](std::size_t n) {
    return Receiver::status(307, "Location: " + (n == 0 ? other.url() : std::string("file:///etc/hostname")) + "\r\n");
  });
  Webhooks webhooks;
  webhooks.configure({hook(receiver.url(), 0)});
  webhooks.post("start", "1");
  EXPECT_THAT(other.bodies(1), ElementsAre("1"));
  EXPECT_EQ(settled(webhooks).delivered, 1U);
  webhooks.post("start", "2");
  EXPECT_EQ(settled(webhooks).failed, 1U);
}

TEST(Webhooks, LongAnswersAreCutOff) {
  const Receiver receiver([](std::size_t) { return Receiver::status(200, "", std::string(4 << 20, 'x')); });
  Webhooks webhooks;
  webhooks.configure({hook(receiver.url(), 0)});
  webhooks.post("start", "1");
  EXPECT_EQ(settled(webhooks).delivered, 1U);
}

TEST(Webhooks, AnotherConfigurationKeepsWhatWaitsForTheSameUrl) {
  const Receiver kept(first_then(1, Receiver::status(500)));
  const Receiver removed(first_then(1, Receiver::status(500)));
  Webhooks webhooks(kPatient);
  webhooks.configure({hook(kept.url()), hook(removed.url())});
  webhooks.post("start", "1");
  ASSERT_EQ(kept.requests(1).size(), 1U);
  ASSERT_EQ(removed.requests(1).size(), 1U);
  webhooks.configure({hook(kept.url(), 5)});
  EXPECT_EQ(webhooks.counts().dropped, 1U);
  EXPECT_EQ(webhooks.counts().pending, 1U);
  webhooks.configure({});
  EXPECT_EQ(webhooks.counts().dropped, 2U);
  EXPECT_EQ(webhooks.counts().pending, 0U);
}

TEST(Webhooks, LogShowsNoSecretsOfAUrl) {
  EXPECT_EQ(loggable_url("https://chat.example.com/hooks/T0KEN?key=SECRET"), "https://chat.example.com");
  EXPECT_EQ(loggable_url("http://user:SECRET@[::1]:8080/"), "http://[::1]:8080");
  EXPECT_EQ(loggable_url("http://host"), "http://host");
}

}  // namespace
}  // namespace chaos
