#include "api/idempotency.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "api/problem.h"

namespace chaos::test {
namespace {

using nlohmann::json;

class ManualClock : public Clock {
 public:
  [[nodiscard]] WallTime wall() const override { return {}; }
  [[nodiscard]] std::chrono::nanoseconds monotonic() const override { return now; }
  [[nodiscard]] std::chrono::nanoseconds boottime() const override { return now; }
  std::chrono::nanoseconds now{1};
};

HttpRequest request(std::string key, std::string body = "{}", uid_t uid = 0, std::string path = "/p") {
  HttpRequest made;
  made.method = "POST";
  made.path = std::move(path);
  made.body = std::move(body);
  made.caller.uid = uid;
  made.request_id = "R";
  if (!key.empty()) made.headers["idempotency-key"] = std::move(key);
  return made;
}

struct Idempotency : testing::Test {
  /// Counts, and answers at once with its count, or later if `late`.
  Handler handler() {
    return [this](const HttpRequest&, Respond respond) {
      ++calls;
      if (late) {
        kept.push_back(std::move(respond));
      } else {
        respond(json_response(next_status, {{"call", calls}}));
      }
    };
  }
  /// The answers that came, in order.
  void run(const HttpRequest& with) {
    table->run(with, handler(), [this](HttpResponse response) { answers.push_back(std::move(response)); });
  }
  static bool is_replay(const HttpResponse& response) {
    const std::pair<std::string, std::string> mark{"Idempotency-Replayed", "true"};
    return std::ranges::find(response.headers, mark) != response.headers.end();
  }

  ManualClock clock;
  std::unique_ptr<IdempotencyTable> table =
      std::make_unique<IdempotencyTable>(clock, IdempotencyTable::Options{.capacity = 4});
  int calls = 0;
  int next_status = 201;
  bool late = false;
  std::vector<Respond> kept;
  std::vector<HttpResponse> answers;
};

TEST_F(Idempotency, WithoutKeyEveryRequestCounts) {
  run(request(""));
  run(request(""));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(table->size(), 0U);
}

TEST_F(Idempotency, SameKeyGetsTheSameAnswer) {
  run(request("k"));
  run(request("k"));
  EXPECT_EQ(calls, 1);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[1].status, 201);
  EXPECT_EQ(answers[1].body, answers[0].body);
  EXPECT_FALSE(is_replay(answers[0]));
  EXPECT_TRUE(is_replay(answers[1]));
}

TEST_F(Idempotency, RefusalsAreRepeatedToo) {
  next_status = 409;
  run(request("k"));
  run(request("k"));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(answers[1].status, 409);
}

TEST_F(Idempotency, FailuresMayBeTriedAgain) {
  next_status = 503;
  run(request("k"));
  next_status = 201;
  run(request("k"));
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(answers[1].status, 201);
  EXPECT_FALSE(is_replay(answers[1]));
}

TEST_F(Idempotency, KeyForAnotherRequestIsRefused) {
  run(request("k", "{\"a\":1}"));
  run(request("k", "{\"a\":2}"));
  run(request("k", "{\"a\":1}", 0, "/other"));
  EXPECT_EQ(calls, 1);
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_EQ(answers[i].status, 422);
    EXPECT_EQ(json::parse(answers[i].body)["type"], "urn:chaosd:problem:idempotency-key-reused");
  }
}

TEST_F(Idempotency, KeysBelongToTheirUser) {
  run(request("k", "{}", 0));
  run(request("k", "{}", 1000));
  EXPECT_EQ(calls, 2);
}

TEST_F(Idempotency, DuplicateWaitsForTheFirst) {
  late = true;
  run(request("k"));
  run(request("k"));
  run(request("k"));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(answers.empty());
  kept[0](json_response(201, {{"id", "X"}}));
  ASSERT_EQ(answers.size(), 3U);
  for (const auto& answer : answers) {
    EXPECT_EQ(answer.status, 201);
    EXPECT_EQ(answer.body, answers[0].body);
  }
}

TEST_F(Idempotency, DuplicateSharesTheFailureOfTheFirst) {
  late = true;
  run(request("k"));
  run(request("k"));
  kept[0](json_response(500, {}));
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].status, 500);
  EXPECT_EQ(answers[1].status, 500);
  run(request("k"));
  EXPECT_EQ(calls, 2);
}

TEST_F(Idempotency, ForgetsAfterTenMinutes) {
  run(request("k"));
  clock.now += std::chrono::minutes(10) - std::chrono::nanoseconds(1);
  run(request("k"));
  EXPECT_EQ(calls, 1);
  clock.now += std::chrono::nanoseconds(1);
  run(request("k"));
  EXPECT_EQ(calls, 2);
}

TEST_F(Idempotency, OldestAnsweredMakesRoom) {
  for (const char* key : {"a", "b", "c", "d", "e"}) run(request(key));
  EXPECT_EQ(table->size(), 4U);
  run(request("b"));
  EXPECT_EQ(calls, 5) << "b is still known";
  run(request("a"));
  EXPECT_EQ(calls, 6) << "a is not";
}

TEST_F(Idempotency, RefusesWhenAllAreUnderWay) {
  late = true;
  for (const char* key : {"a", "b", "c", "d", "e"}) run(request(key));
  EXPECT_EQ(calls, 4);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].status, 503);
  kept[1](json_response(201, {}));
  run(request("e"));
  EXPECT_EQ(calls, 5);
}

TEST_F(Idempotency, OldEntryUnderWayIsKept) {
  late = true;
  run(request("k"));
  clock.now += std::chrono::hours(1);
  run(request("k"));
  EXPECT_EQ(calls, 1);
}

TEST_F(Idempotency, RefusesMalformedKeys) {
  for (const std::string& key :
       {std::string(256, 'k'), std::string("a b"), std::string("\xc3\xa4"), std::string("\t")}) {
    run(request(key));
    EXPECT_EQ(answers.back().status, 400) << key;
    EXPECT_EQ(json::parse(answers.back().body)["field"], "Idempotency-Key");
  }
  EXPECT_EQ(calls, 0);
  run(request(std::string(255, 'k')));
  EXPECT_EQ(calls, 1);
}

TEST_F(Idempotency, AnswerMayComeAfterTheTableHasGone) {
  late = true;
  run(request("k"));
  table.reset();
  kept[0](json_response(201, {}));
  EXPECT_EQ(answers.size(), 1U);
}

}  // namespace
}  // namespace chaos::test
