#include "store/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "store_audit_support.h"

namespace chaos {
namespace {

using test::audit_example;
using testing::ElementsAre;

class RecorderTest : public test::AuditStore {
 protected:
  void SetUp() override {}
  void start() {
    close();
    auto recorder = Recorder::open(file_, {});
    ASSERT_TRUE(recorder) << recorder.error().message;
    recorder_ = std::move(*recorder);
  }
  /// Calls `ask` with a reply and waits for it.
  template <class T>
  static T answer(auto ask) {
    std::promise<T> promise;
    ask([&promise](T value) { promise.set_value(std::move(value)); });
    return promise.get_future().get();
  }
  void flush() {
    std::promise<void> done;
    recorder_->flush([&done] { done.set_value(); });
    done.get_future().get();
  }
  [[nodiscard]] Result<AuditVerification> check() {
    return answer<Result<AuditVerification>>([this](auto reply) { recorder_->verify_audit(std::move(reply)); });
  }

  std::unique_ptr<Recorder> recorder_;
};

TEST_F(RecorderTest, AuditFirstAnswersWhenTheEntryIsThere) {
  start();
  EXPECT_TRUE(answer<Status>([this](auto done) { recorder_->audit_first(audit_example(), std::move(done)); }));
  EXPECT_EQ(check()->checked, 1);
}

TEST_F(RecorderTest, AuditFirstTellsWhenItCannotBeWrittenAndRetryHeals) {
  start();
  ASSERT_FALSE(recorder_->audit_broken());
  open();
  tamper("ALTER TABLE audit_head RENAME TO away");
  EXPECT_FALSE(answer<Status>([this](auto done) { recorder_->audit_first(audit_example(), std::move(done)); }));
  EXPECT_TRUE(recorder_->audit_broken());
  EXPECT_TRUE(recorder_->behind());
  recorder_->retry();
  flush();
  EXPECT_TRUE(recorder_->audit_broken());
  tamper("ALTER TABLE away RENAME TO audit_head");
  recorder_->retry();
  flush();
  EXPECT_FALSE(recorder_->audit_broken());
  EXPECT_FALSE(recorder_->behind());
  EXPECT_EQ(check()->checked, 1);
}

TEST_F(RecorderTest, HistoryThatCannotBeWrittenIsShownAllTheSameAndWrittenLater) {
  start();
  open();
  tamper("ALTER TABLE scenarios RENAME TO away");
  const ScenarioRow row{.id = "A",
                        .state = "completed",
                        .end_reason = "stopped",
                        .kind = "k",
                        .created_at = {},
                        .ended_at = system_clock().wall(),
                        .json = "{}"};
  recorder_->record(row);
  flush();
  EXPECT_TRUE(recorder_->behind());
  const auto found = answer<Result<ScenarioRow>>([this](auto reply) { recorder_->find("A", std::move(reply)); });
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->state, "completed");
  tamper("ALTER TABLE away RENAME TO scenarios");
  const auto list = [this] {
    return answer<Result<std::vector<ScenarioRow>>>(
        [this](auto reply) { recorder_->list_ended(10, std::move(reply)); });
  };
  EXPECT_EQ(list()->size(), 1U) << "not written yet";
  recorder_->retry();
  flush();
  EXPECT_FALSE(recorder_->behind());
  recorder_.reset();
  start();
  ASSERT_EQ(list()->size(), 1U);
  EXPECT_EQ(list()->front().id, "A");
}

/// A log that takes many slices to check.
class LongAudit : public RecorderTest {
 protected:
  static constexpr int kRows = 30'000;
  void SetUp() override {
    open();
    ASSERT_TRUE(database_->execute("PRAGMA synchronous = OFF"));
    append(kRows);
    start();
  }
};

TEST_F(LongAudit, WritesGoOnWhileItIsChecked) {
  std::vector<std::string> order;
  std::promise<void> finished;
  recorder_->verify_audit([&](const Result<AuditVerification>& result) {
    order.emplace_back("checked");
    EXPECT_TRUE(result && result->ok());
    EXPECT_EQ(result->checked, kRows) << "what was there at its begin";
    finished.set_value();
  });
  recorder_->audit_first(audit_example(), [&order](const Status& status) {
    EXPECT_TRUE(status);
    order.emplace_back("written");
  });
  finished.get_future().get();
  EXPECT_THAT(order, ElementsAre("written", "checked"));
}

TEST_F(LongAudit, WhoAsksWhileACheckRunsGetsTheNextOne) {
  std::promise<void> finished;
  std::vector<std::int64_t> counts;
  const auto note = [&](const Result<AuditVerification>& result) {
    counts.push_back(result ? result->checked : -1);
    if (counts.size() == 3) finished.set_value();
  };
  recorder_->verify_audit(note);
  recorder_->audit(audit_example());
  recorder_->verify_audit(note);
  recorder_->verify_audit(note);
  finished.get_future().get();
  EXPECT_THAT(counts, ElementsAre(kRows, kRows + 1, kRows + 1));
}

TEST_F(LongAudit, EndOfTheRecorderEndsTheCheck) {
  std::optional<Result<AuditVerification>> answer;
  std::promise<void> begun;
  recorder_->verify_audit([&](Result<AuditVerification> result) { answer = std::move(result); });
  recorder_->flush([&begun] { begun.set_value(); });
  begun.get_future().get();
  recorder_.reset();
  ASSERT_TRUE(answer.has_value());
  ASSERT_FALSE(answer->has_value());
  EXPECT_EQ(answer->error().code, Errc::kUnavailable);
}

}  // namespace
}  // namespace chaos
