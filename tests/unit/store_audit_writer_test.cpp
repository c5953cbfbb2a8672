#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/audit_writer.h"
#include "store_audit_support.h"

namespace chaos {
namespace {

using test::audit_example;
using testing::ElementsAre;

class AuditWriting : public test::AuditStore {
 protected:
  void SetUp() override {
    open();
    writer_ = std::make_unique<AuditWriter>(*audit_);
    writer_->on_written([this](const AuditEntry& entry) { written_.push_back(entry); });
  }
  void break_it() { ASSERT_TRUE(database_->execute("PRAGMA query_only = ON")); }
  void repair() { ASSERT_TRUE(database_->execute("PRAGMA query_only = OFF")); }
  [[nodiscard]] std::vector<std::string> actions() {
    std::vector<std::string> all;
    const auto entries = audit_->list(2000);
    for (const AuditEntry& entry : entries.value()) all.insert(all.begin(), entry.action);
    return all;
  }

  std::unique_ptr<AuditWriter> writer_;
  std::vector<AuditEntry> written_;
};

TEST_F(AuditWriting, TellsWhatIsWrittenWithItsHash) {
  EXPECT_TRUE(writer_->write(audit_example("a")));
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_EQ(written_[0].seq, 1);
  EXPECT_EQ(written_[0].hash, row(1).hash);
  EXPECT_FALSE(writer_->broken());
}

TEST_F(AuditWriting, WhatCannotBeWrittenIsWrittenLaterInOrder) {
  EXPECT_TRUE(writer_->write(audit_example("a")));
  break_it();
  EXPECT_FALSE(writer_->write(audit_example("b")));
  EXPECT_TRUE(writer_->broken());
  EXPECT_FALSE(writer_->write(audit_example("c")));
  EXPECT_FALSE(writer_->retry());
  EXPECT_TRUE(writer_->broken());
  EXPECT_THAT(actions(), ElementsAre("a"));
  EXPECT_EQ(written_.size(), 1U);
  repair();
  EXPECT_TRUE(writer_->retry());
  EXPECT_FALSE(writer_->broken());
  EXPECT_THAT(actions(), ElementsAre("a", "b", "c"));
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(written_.back().seq, 3);
}

TEST_F(AuditWriting, TheNextWriteHealsToo) {
  break_it();
  EXPECT_FALSE(writer_->write(audit_example("a")));
  repair();
  EXPECT_TRUE(writer_->write(audit_example("b")));
  EXPECT_FALSE(writer_->broken());
  EXPECT_THAT(actions(), ElementsAre("a", "b"));
}

TEST_F(AuditWriting, WhatIsTooMuchIsCountedOnRecord) {
  ASSERT_TRUE(database_->execute("PRAGMA synchronous = OFF"));
  break_it();
  for (int i = 0; i < 1007; ++i) EXPECT_FALSE(writer_->write(audit_example("a")));
  repair();
  EXPECT_TRUE(writer_->retry());
  const auto all = actions();
  ASSERT_EQ(all.size(), 1001U);
  EXPECT_EQ(all.back(), "audit_lost");
  EXPECT_EQ(row(1001).detail, "7 entries before this one could not be written");
  EXPECT_EQ(row(1001).comm, "chaosd");
  EXPECT_TRUE(writer_->write(audit_example("b")));
  EXPECT_EQ(actions().size(), 1002U) << "told once";
}

}  // namespace
}  // namespace chaos
