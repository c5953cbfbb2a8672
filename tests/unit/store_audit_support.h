// For the tests of the audit log: an entry, and a store that somebody else writes to behind chaosd's back.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "store/audit.h"
#include "tests/support/temp_dir.h"

namespace chaos::test {

[[nodiscard]] inline AuditEntry audit_example(std::string action = "start_scenario") {
  AuditEntry entry;
  entry.time = WallTime(std::chrono::milliseconds(1'700'000'000'123));
  entry.request_id = "01HF0000000000000000000000";
  entry.uid = 1000;
  entry.user = "sre";
  entry.login_uid = 1001;
  entry.pid = 4242;
  entry.comm = "chaosctl";
  entry.socket = "/run/chaosd/chaosd.sock";
  entry.action = std::move(action);
  entry.scenario_id = "01HF0000000000000000000001";
  entry.status = 409;
  entry.detail = "blast radius 0.33 > 0.3; \"quoted\"";
  return entry;
}

class AuditStore : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    auto database = open_store(file_);
    ASSERT_TRUE(database) << database.error().message;
    database_ = std::move(*database);
    auto audit = Audit::create(*database_);
    ASSERT_TRUE(audit) << audit.error().message;
    audit_ = std::move(*audit);
  }
  void close() {
    audit_.reset();
    database_.reset();
  }
  void append(int count) {
    for (int i = 0; i < count; ++i) {
      const auto seq = audit_->append(audit_example());
      ASSERT_TRUE(seq) << seq.error().message;
    }
  }
  /// As root with a SQLite shell: a connection of its own, and what protects the table goes first.
  void tamper(const std::string& sql) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(file_.c_str(), &connection), SQLITE_OK);
    const std::string all =
        "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete; BEGIN; " + sql + "; COMMIT";
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(connection, all.c_str(), nullptr, nullptr, &message), SQLITE_OK) << sql << ": " << message;
    sqlite3_free(message);
    sqlite3_close(connection);
  }
  [[nodiscard]] AuditVerification verified() {
    auto result = audit_->verify();
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(AuditVerification{});
  }
  /// "3 altered", or "" if all is well.
  [[nodiscard]] std::string problem() {
    const auto result = verified();
    if (result.ok()) return "";
    return std::to_string(result.problem->seq) + " " + std::string(to_string(result.problem->what));
  }
  [[nodiscard]] AuditEntry row(std::int64_t seq) {
    const auto entries = audit_->list(1, seq + 1);
    EXPECT_TRUE(entries && entries->size() == 1);
    return entries->front();
  }

  test::TempDir directory_;
  std::filesystem::path file_ = directory_.path() / "chaosd.db";
  std::unique_ptr<Database> database_;
  std::unique_ptr<Audit> audit_;
};

}  // namespace chaos::test
