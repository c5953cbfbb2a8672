#include "api/events.h"

#include <gtest/gtest.h>

#include "api_support.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

std::string drain(ByteStream& stream) {
  std::string all(2'000'000, '\0');
  all.resize(stream.read(all.data(), all.size()));
  return all;
}

/// Without a client: what a stream has been given. The loop does not run.
struct Hub : testing::Test {
  std::unique_ptr<EventLoop> loop = std::move(EventLoop::create().value());
  std::unique_ptr<EventHub> hub = std::move(EventHub::create(*loop, {.keep_alive = 15s, .first_id = 100}).value());

  std::shared_ptr<ByteStream> subscribe(std::optional<std::uint64_t> last, bool follow = true) {
    return std::move(hub->subscribe(last, follow).value());
  }
};

TEST_F(Hub, SendsEventsInTheirForm) {
  const auto stream = subscribe({});
  EXPECT_EQ(drain(*stream), "retry: 2000\n\n");
  EXPECT_EQ(hub->publish("scenario", {{"id", "X"}}), 100U);
  EXPECT_EQ(drain(*stream), "id: 100\nevent: scenario\ndata: {\"id\":\"X\"}\n\n");
}

TEST_F(Hub, NewSubscriberGetsOnlyWhatIsNew) {
  hub->publish("old", {});
  const auto stream = subscribe({});
  hub->publish("new", {});
  const std::string text = drain(*stream);
  EXPECT_EQ(text.find("event: old"), std::string::npos);
  EXPECT_NE(text.find("id: 101\nevent: new"), std::string::npos);
}

TEST_F(Hub, ResumesAfterTheLastIdThatWasSeen) {
  for (int i = 0; i < 10; ++i) hub->publish("e", {{"n", i}});
  const std::string text = drain(*subscribe(106));
  EXPECT_EQ(text,
            "retry: 2000\n\nid: 107\nevent: e\ndata: {\"n\":7}\n\nid: 108\nevent: e\ndata: {\"n\":8}\n\n"
            "id: 109\nevent: e\ndata: {\"n\":9}\n\n");
  EXPECT_EQ(drain(*subscribe(109)), "retry: 2000\n\n") << "up to date";
  EXPECT_NE(drain(*subscribe(99)).find("{\"n\":0}"), std::string::npos) << "nothing is missing after 99";
}

TEST_F(Hub, SaysResetWhenEventsAreLost) {
  for (std::size_t i = 0; i < EventHub::kRing + 1; ++i) hub->publish("e", {});
  const std::string reset = "event: reset\ndata: {\"oldest\":101}\n\n";
  EXPECT_NE(drain(*subscribe(99)).find(reset), std::string::npos) << "100 is no longer kept";
  EXPECT_EQ(drain(*subscribe(100)).find("reset"), std::string::npos);
  EXPECT_NE(drain(*subscribe(5000)).find("event: reset"), std::string::npos) << "an id of another life";
  EXPECT_NE(drain(*subscribe(UINT64_MAX)).find("event: reset"), std::string::npos);
  EXPECT_NE(drain(*subscribe(5000)).find("id: 1124\n"), std::string::npos) << "to go on from there";
}

TEST_F(Hub, ZeroMeansAllThatIsKept) {
  for (std::size_t i = 0; i < EventHub::kRing + 1; ++i) hub->publish("e", {});
  const std::string text = drain(*subscribe(0));
  EXPECT_EQ(text.find("reset"), std::string::npos);
  EXPECT_NE(text.find("id: 101\n"), std::string::npos);
  EXPECT_NE(text.find("id: 1124\n"), std::string::npos);
}

TEST_F(Hub, WithoutFollowEnds) {
  hub->publish("e", {});
  const auto stream = subscribe({}, false);
  EXPECT_EQ(hub->subscribers(), 0U);
  EXPECT_FALSE(stream->finished());
  EXPECT_NE(drain(*stream).find("event: e"), std::string::npos);
  EXPECT_TRUE(stream->finished());
}

TEST_F(Hub, CutsOffWhoIsTooFarBehind) {
  const auto slow = subscribe({});
  const auto quick = subscribe({});
  const json kilobytes(std::string(10'000, 'x'));
  for (int i = 0; i < 30; ++i) {
    hub->publish("e", kilobytes);
    drain(*quick);
  }
  EXPECT_TRUE(slow->aborted());
  EXPECT_FALSE(quick->aborted());
  EXPECT_EQ(hub->subscribers(), 1U);
}

TEST_F(Hub, CatchingUpIsNotBeingSlow) {
  const json kilobyte(std::string(1000, 'x'));
  for (std::size_t i = 0; i < EventHub::kRing; ++i) hub->publish("e", kilobyte);
  const auto stream = subscribe(0);
  hub->publish("one more", {});
  EXPECT_FALSE(stream->aborted());
  EXPECT_NE(drain(*stream).find("one more"), std::string::npos);
}

TEST_F(Hub, ForgetsWhoHasLeft) {
  const auto leaver = subscribe({});
  const auto stayer = subscribe({});
  leaver->reader_leaves();
  hub->publish("e", {});
  EXPECT_EQ(hub->subscribers(), 1U);
  EXPECT_NE(drain(*stayer).find("event: e"), std::string::npos);
}

TEST_F(Hub, HasRoomForSoMany) {
  std::vector<std::shared_ptr<ByteStream>> streams;
  for (std::size_t i = 0; i < EventHub::kMaxSubscribers; ++i) streams.push_back(subscribe({}));
  const auto refused = hub->subscribe({});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Errc::kUnavailable);
  streams[0]->reader_leaves();
  EXPECT_TRUE(hub->subscribe({}).has_value());
}

TEST_F(Hub, EndsStreamsWhenItGoes) {
  const auto stream = subscribe({});
  hub->publish("last", {});
  hub.reset();
  EXPECT_NE(drain(*stream).find("last"), std::string::npos);
  EXPECT_TRUE(stream->finished());
}

TEST_F(Hub, SurvivesBytesThatAreNoText) {
  const auto stream = subscribe({});
  hub->publish("e", {{"comm", "\xff\xfe"}});
  EXPECT_NE(drain(*stream).find("\xef\xbf\xbd"), std::string::npos) << "U+FFFD";
}

TEST(EventHubOnTheLoop, KeepsConnectionsAlive) {
  LoopThread thread;
  std::unique_ptr<EventHub> hub;
  std::shared_ptr<ByteStream> stream;
  thread.call([&] {
    hub = std::move(EventHub::create(thread.loop(), {.keep_alive = 20ms, .first_id = 1}).value());
    stream = std::move(hub->subscribe({}).value());
  });
  std::string seen;
  EXPECT_TRUE(thread.wait_until([&] {
    seen += drain(*stream);
    return seen.ends_with(": keep-alive\n\n: keep-alive\n\n");
  }));
  thread.call([&] { hub.reset(); });
}

}  // namespace
}  // namespace chaos::test
