#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "store/scenarios_history.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;

constexpr WallTime kNow = WallTime(std::chrono::milliseconds(1'700'000'000'000));

ScenarioRow running(std::string id) {
  ScenarioRow row;
  row.json =
      nlohmann::json{{"id", id}, {"state", "active"}, {"queue_position", 2}, {"counters", {{"injected", 7}}}}.dump();
  row.id = std::move(id);
  row.state = "active";
  row.kind = "packet_loss";
  row.created_at = kNow - hours(1);
  return row;
}

ScenarioRow ended(std::string id, seconds ago) {
  ScenarioRow row = running(std::move(id));
  row.state = "completed";
  row.end_reason = "expired";
  row.ended_at = kNow - ago;
  return row;
}

class HistoryTest : public testing::Test {
 protected:
  void SetUp() override {
    auto database = open_store(directory_.path() / "chaosd.db");
    ASSERT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
    auto history = ScenarioHistory::create(*database_);
    ASSERT_TRUE(history) << history.error().message;
    history_ = std::move(*history);
  }

  [[nodiscard]] std::vector<std::string> ended_ids(std::size_t limit = 100, std::string_view before = {}) {
    std::vector<std::string> ids;
    const auto rows = history_->list_ended(limit, before);
    EXPECT_TRUE(rows);
    for (const ScenarioRow& row : *rows) ids.push_back(row.id);
    return ids;
  }

  test::TempDir directory_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<ScenarioHistory> history_;
};

TEST_F(HistoryTest, FindsWhatWasWritten) {
  const ScenarioRow row = ended("B", seconds(5));
  ASSERT_TRUE(history_->upsert(row));
  const auto found = history_->find("B");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state, "completed");
  EXPECT_EQ(found->end_reason, "expired");
  EXPECT_EQ(found->kind, "packet_loss");
  EXPECT_EQ(found->created_at, row.created_at);
  EXPECT_EQ(found->ended_at, row.ended_at);
  EXPECT_EQ(found->json, row.json);
  EXPECT_EQ(history_->find("C").error().code, Errc::kNotFound);
}

TEST_F(HistoryTest, UpsertReplacesTheRowOfThatId) {
  ASSERT_TRUE(history_->upsert(running("A")));
  EXPECT_EQ(history_->find("A")->ended_at, std::nullopt);
  ASSERT_TRUE(history_->upsert(ended("A", seconds(1))));
  EXPECT_EQ(history_->find("A")->state, "completed");
  EXPECT_THAT(ended_ids(), ElementsAre("A"));
}

TEST_F(HistoryTest, ListsEndedOnesNewestFirstAndByPages) {
  for (const char* id : {"A", "B", "D", "E"}) ASSERT_TRUE(history_->upsert(ended(id, seconds(1))));
  ASSERT_TRUE(history_->upsert(running("C")));
  EXPECT_THAT(ended_ids(), ElementsAre("E", "D", "B", "A"));
  EXPECT_THAT(ended_ids(2), ElementsAre("E", "D"));
  EXPECT_THAT(ended_ids(2, "D"), ElementsAre("B", "A"));
}

TEST_F(HistoryTest, OrphansEndAsFailedInColumnsAndJson) {
  ASSERT_TRUE(history_->upsert(ended("A", seconds(1))));
  ASSERT_TRUE(history_->upsert(running("B")));
  ScenarioRow queued = running("C");
  queued.state = "queued";
  ASSERT_TRUE(history_->upsert(queued));

  const auto ids = history_->mark_orphans("error", "the daemon died", kNow);
  ASSERT_TRUE(ids) << ids.error().message;
  EXPECT_THAT(*ids, ElementsAre("B", "C"));
  const auto row = history_->find("B");
  EXPECT_EQ(row->state, "failed");
  EXPECT_EQ(row->end_reason, "error");
  EXPECT_EQ(row->ended_at, kNow);
  const auto json = nlohmann::json::parse(row->json);
  EXPECT_EQ(json["state"], "failed");
  EXPECT_EQ(json["end_reason"], "error");
  EXPECT_EQ(json["error"], "the daemon died");
  EXPECT_EQ(json["ended_at"], format_rfc3339(kNow));
  EXPECT_TRUE(json["queue_position"].is_null());
  EXPECT_EQ(json["counters"]["injected"], 7);
  EXPECT_EQ(history_->find("A")->state, "completed");
  EXPECT_TRUE(history_->mark_orphans("error", "again", kNow)->empty());
}

TEST_F(HistoryTest, OrphanWithUnreadableJsonIsMarkedAllTheSame) {
  ScenarioRow row = running("A");
  row.json = "{torn";
  ASSERT_TRUE(history_->upsert(row));
  ASSERT_TRUE(history_->mark_orphans("lapsed", "the lease ran out", kNow));
  EXPECT_EQ(history_->find("A")->state, "failed");
  EXPECT_EQ(history_->find("A")->end_reason, "lapsed");
  EXPECT_EQ(history_->find("A")->json, "{torn");
}

TEST_F(HistoryTest, PrunesByCountAndAgeButNeverWhatRuns) {
  ASSERT_TRUE(history_->upsert(running("0")));
  ASSERT_TRUE(history_->upsert(ended("A", hours(48))));
  ASSERT_TRUE(history_->upsert(ended("B", hours(24))));
  for (const char* id : {"C", "D", "E"}) ASSERT_TRUE(history_->upsert(ended(id, hours(1))));

  EXPECT_EQ(history_->prune(100, hours(24), kNow), 1);
  EXPECT_THAT(ended_ids(), ElementsAre("E", "D", "C", "B"));
  EXPECT_EQ(history_->prune(2, hours(24), kNow), 2);
  EXPECT_THAT(ended_ids(), ElementsAre("E", "D"));
  EXPECT_EQ(history_->prune(0, hours(24), kNow), 2);
  EXPECT_TRUE(history_->find("0"));
}

}  // namespace
}  // namespace chaos
