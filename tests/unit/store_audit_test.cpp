#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store_audit_support.h"

namespace chaos {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

AuditEntry example(std::string action) { return test::audit_example(std::move(action)); }

class AuditTest : public test::AuditStore {
 protected:
  [[nodiscard]] std::vector<std::int64_t> seqs(std::size_t limit, std::int64_t before = 0) {
    std::vector<std::int64_t> result;
    const auto entries = audit_->list(limit, before);
    EXPECT_TRUE(entries);
    for (const AuditEntry& entry : *entries) result.push_back(entry.seq);
    return result;
  }
};

TEST_F(AuditTest, GivesBackEveryFieldAsItWasWritten) {
  const AuditEntry written = example("scenario.start");
  EXPECT_EQ(audit_->append(written), 1);
  const auto entries = audit_->list(10);
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 1U);
  const AuditEntry& read = entries->front();
  EXPECT_EQ(read.seq, 1);
  EXPECT_EQ(read.time, written.time);
  EXPECT_EQ(read.request_id, written.request_id);
  EXPECT_EQ(read.uid, written.uid);
  EXPECT_EQ(read.user, written.user);
  EXPECT_EQ(read.login_uid, written.login_uid);
  EXPECT_EQ(read.pid, written.pid);
  EXPECT_EQ(read.comm, written.comm);
  EXPECT_EQ(read.socket, written.socket);
  EXPECT_EQ(read.action, written.action);
  EXPECT_EQ(read.scenario_id, written.scenario_id);
  EXPECT_EQ(read.status, written.status);
  EXPECT_EQ(read.detail, written.detail);
}

TEST_F(AuditTest, LoginUidMayBeUnsetAndUidsAreUnsigned) {
  AuditEntry entry = example("rearm");
  entry.login_uid.reset();
  entry.uid = 4'294'967'294U;
  ASSERT_TRUE(audit_->append(entry));
  const auto entries = audit_->list(1);
  EXPECT_EQ(entries->front().login_uid, std::nullopt);
  EXPECT_EQ(entries->front().uid, 4'294'967'294U);
}

TEST_F(AuditTest, PagesNewestFirst) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(audit_->append(example("scenario.stop")));
  EXPECT_THAT(seqs(2), ElementsAre(5, 4));
  EXPECT_THAT(seqs(2, 4), ElementsAre(3, 2));
  EXPECT_THAT(seqs(2, 2), ElementsAre(1));
  EXPECT_THAT(seqs(2, 1), ElementsAre());
  EXPECT_THAT(seqs(0), ElementsAre());
}

TEST_F(AuditTest, TableRefusesChangeAndRemoval) {
  ASSERT_TRUE(audit_->append(example("scenario.start")));
  EXPECT_THAT(database_->execute("UPDATE audit SET uid = 0").error().message, HasSubstr("append-only"));
  EXPECT_THAT(database_->execute("DELETE FROM audit").error().message, HasSubstr("append-only"));
  EXPECT_THAT(seqs(10), ElementsAre(1));
}

TEST_F(AuditTest, GoesOnCountingAfterReopening) {
  ASSERT_TRUE(audit_->append(example("scenario.start")));
  close();
  open();
  EXPECT_EQ(audit_->append(example("scenario.stop")), 2);
}

TEST_F(AuditTest, LastAppendTellsWhetherTheAuditCanBeWritten) {
  EXPECT_TRUE(audit_->last_append());
  ASSERT_TRUE(database_->execute("PRAGMA query_only = ON"));
  EXPECT_FALSE(audit_->append(example("scenario.start")));
  ASSERT_FALSE(audit_->last_append());
  EXPECT_THAT(audit_->last_append().error().message, HasSubstr("write audit entry"));
  ASSERT_TRUE(database_->execute("PRAGMA query_only = OFF"));
  EXPECT_TRUE(audit_->append(example("scenario.start")));
  EXPECT_TRUE(audit_->last_append());
}

}  // namespace
}  // namespace chaos
