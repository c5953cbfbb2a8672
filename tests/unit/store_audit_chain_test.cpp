// The hash chain: what it is, and that whoever changes the file by other means than chaosd is found out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>

#include "store_audit_support.h"

namespace chaos {
namespace {

using test::audit_example;

std::string literal(const AuditHash& hash) { return "x'" + to_hex(hash) + "'"; }

class AuditChain : public test::AuditStore {};

// Computed by a program of its own (Python's hashlib and struct) from what audit_chain.h says.
TEST_F(AuditChain, HashesAreThoseOfTheDocumentedFormat) {
  AuditEntry second = audit_example("rearm");
  second.login_uid.reset();
  AuditEntry first = audit_example("scenario.start");
  first.seq = 1;
  const AuditHash hash = audit_hash(kAuditGenesis, first);
  EXPECT_EQ(to_hex(hash), "f01479aa24b5ca03ede9ecf9d957ec9216547fc21f98fc2efc9c279269842c61");
  second.seq = 2;
  EXPECT_EQ(to_hex(audit_hash(hash, second)), "8fb21ac1713afcf45e90954e8f9cedaf8778592bfe2e09f565d826876735da2a");
}

TEST_F(AuditChain, AppendGivesEachRowTheHashOfTheFormat) {
  append(2);
  EXPECT_EQ(row(1).hash, audit_hash(kAuditGenesis, row(1)));
  EXPECT_EQ(row(2).hash, audit_hash(*row(1).hash, row(2)));
  EXPECT_EQ(audit_->last()->seq, 2);
  EXPECT_EQ(audit_->last()->hash, row(2).hash);
}

TEST_F(AuditChain, NoTwoEntriesHaveTheSameBytes) {
  std::set<std::string> all;
  const auto add = [&all](auto change) {
    AuditEntry entry;
    change(entry);
    EXPECT_TRUE(all.insert(audit_bytes(entry)).second);
  };
  add([](AuditEntry&) {});
  add([](AuditEntry& e) { e.seq = 1; });
  add([](AuditEntry& e) { e.time = WallTime(std::chrono::milliseconds(1)); });
  add([](AuditEntry& e) { e.uid = 1; });
  add([](AuditEntry& e) { e.pid = 1; });
  add([](AuditEntry& e) { e.status = 1; });
  add([](AuditEntry& e) { e.login_uid = 0; });
  add([](AuditEntry& e) { e.login_uid = 1; });
  for (auto member : {&AuditEntry::request_id, &AuditEntry::user, &AuditEntry::comm, &AuditEntry::socket,
                      &AuditEntry::action, &AuditEntry::scenario_id, &AuditEntry::detail}) {
    add([member](AuditEntry& e) { e.*member = "ab"; });
    add([member](AuditEntry& e) { e.*member = std::string("a\0", 2); });
  }
  // The same characters, divided otherwise.
  add([](AuditEntry& e) { e.action = "a", e.scenario_id = "b"; });
  add([](AuditEntry& e) { e.socket = "a", e.action = "b"; });
}

TEST_F(AuditChain, IsWholeWhenEmptyAfterWritingAndAfterReopening) {
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().head, kAuditGenesis);
  append(200);
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().checked, 200);
  EXPECT_EQ(verified().unchained, 0);
  EXPECT_EQ(verified().head, row(200).hash);
  close();
  open();
  append(1);
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().checked, 201);
}

TEST_F(AuditChain, TakesTextsOfAnyBytes) {
  AuditEntry entry = audit_example();
  entry.detail = std::string("a\0b\xff\xfe\n", 6);
  entry.comm = "";
  ASSERT_TRUE(audit_->append(entry));
  EXPECT_EQ(row(1).detail, entry.detail);
  EXPECT_EQ(problem(), "");
}

TEST_F(AuditChain, FailedAppendLeavesTheChainWhole) {
  append(2);
  ASSERT_TRUE(database_->execute("PRAGMA query_only = ON"));
  EXPECT_FALSE(audit_->append(audit_example()));
  ASSERT_TRUE(database_->execute("PRAGMA query_only = OFF"));
  EXPECT_EQ(problem(), "");
  append(1);
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().checked, 3);
}

TEST_F(AuditChain, EveryFieldThatIsAlteredIsFound) {
  append(5);
  for (const char* change :
       {"time_ms = time_ms + 1", "request_id = 'x'", "uid = 0", "user = 'root'", "login_uid = NULL", "login_uid = 0",
        "pid = 1", "comm = 'curl'", "socket = ''", "action = 'rearm'", "scenario_id = ''", "status = 201",
        "detail = ''", "prev_hash = randomblob(32)", "prev_hash = NULL", "hash = randomblob(32)", "hash = NULL",
        "hash = substr(hash, 1, 31)",
        // Other types that read as the same value.
        "uid = '1000 or so'", "uid = 1000 + 4294967296", "pid = pid + 4294967296", "status = 409.5",
        "detail = CAST(detail AS BLOB)"}) {
    tamper("CREATE TABLE kept AS SELECT * FROM audit WHERE seq = 3; UPDATE audit SET " + std::string(change) +
           " WHERE seq = 3");
    EXPECT_EQ(problem(), "3 altered") << change;
    EXPECT_EQ(verified().checked, 2) << change;
    tamper("DELETE FROM audit WHERE seq = 3; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept");
    EXPECT_EQ(problem(), "") << change;
  }
}

struct Tampering {
  const char* name;
  const char* sql;
  const char* found;
};

class AuditTampering : public test::AuditStore, public testing::WithParamInterface<Tampering> {};

// The log has five rows. The process that has written them is asked.
TEST_P(AuditTampering, IsFound) {
  append(5);
  ASSERT_EQ(problem(), "");
  tamper(GetParam().sql);
  EXPECT_EQ(problem(), GetParam().found);
}

constexpr const char* kLowerHead = "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)";

INSTANTIATE_TEST_SUITE_P(
    All, AuditTampering,
    testing::Values(
        Tampering{"FirstRowRemoved", "DELETE FROM audit WHERE seq = 1", "1 removed"},
        Tampering{"MiddleRowRemoved", "DELETE FROM audit WHERE seq = 3", "3 removed"},
        Tampering{"LastRowRemoved", "DELETE FROM audit WHERE seq = 5", "5 removed"},
        Tampering{"AllRowsRemoved", "DELETE FROM audit", "1 removed"},
        Tampering{"LastRowRemovedAndHeadLowered",
                  "DELETE FROM audit WHERE seq = 5;"
                  "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)",
                  "5 removed"},
        Tampering{"LastRowRemovedEverywhere",
                  "DELETE FROM audit WHERE seq = 5; UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit';"
                  "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)",
                  "5 removed"},
        Tampering{"RemovedAndRenumbered",
                  "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;"
                  "UPDATE audit SET seq = 4 WHERE seq = 5",
                  "3 out of order"},
        Tampering{"Swapped",
                  "UPDATE audit SET seq = 9 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4;"
                  "UPDATE audit SET seq = 4 WHERE seq = 9",
                  "3 out of order"},
        Tampering{"AppendedWithoutHash",
                  "INSERT INTO audit SELECT NULL, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action,"
                  "scenario_id, status, detail, NULL, NULL FROM audit WHERE seq = 2",
                  "6 inserted"},
        Tampering{"AppendedWithHashesOfAnother",
                  "INSERT INTO audit SELECT NULL, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action,"
                  "scenario_id, status, detail, prev_hash, hash FROM audit WHERE seq = 2",
                  "6 out of order"},
        Tampering{"InsertedBeforeTheFirst",
                  "INSERT INTO audit SELECT -7, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action,"
                  "scenario_id, status, detail, prev_hash, hash FROM audit WHERE seq = 2",
                  "-7 inserted"},
        Tampering{"InsertedInTheMiddle",
                  "UPDATE audit SET seq = seq + 100 WHERE seq >= 3; UPDATE audit SET seq = seq - 99 WHERE seq > 100;"
                  "INSERT INTO audit SELECT 3, time_ms, request_id, uid, user, login_uid, pid, comm, socket, action,"
                  "scenario_id, status, detail, NULL, NULL FROM audit WHERE seq = 2",
                  "3 inserted"},
        Tampering{"HeadHashChanged", "UPDATE audit_head SET hash = randomblob(32)", "5 head does not match"},
        Tampering{"HeadLowered", kLowerHead, "4 head does not match"},
        Tampering{"HeadRaised", "UPDATE audit_head SET seq = 6", "6 removed"},
        Tampering{"HeadRemoved", "DELETE FROM audit_head", "5 head does not match"},
        Tampering{"SequenceLowered", "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'",
                  "5 head does not match"},
        Tampering{"SequenceRemoved", "DELETE FROM sqlite_sequence", "5 head does not match"},
        Tampering{"HashesRemoved", "UPDATE audit SET prev_hash = NULL, hash = NULL", "1 inserted"},
        // As if all had been written by the version before the chain; the process knows better.
        Tampering{"ChainDenied",
                  "UPDATE audit SET prev_hash = NULL, hash = NULL;"
                  "UPDATE audit_head SET hash = zeroblob(32), unchained = 5",
                  "5 altered"}),
    [](const auto& test) { return std::string(test.param.name); });

class AuditForgery : public test::AuditStore {
 protected:
  /// Sets `change` in row `seq` and gives the row the hash that it then must have.
  void forge(std::int64_t seq, const std::string& change) {
    tamper("UPDATE audit SET " + change + " WHERE seq = " + std::to_string(seq));
    const AuditHash previous = seq == 1 ? kAuditGenesis : *row(seq - 1).hash;
    set_hashes(seq, previous);
  }
  void set_hashes(std::int64_t seq, const AuditHash& previous) {
    tamper("UPDATE audit SET prev_hash = " + literal(previous) + ", hash = " + literal(audit_hash(previous, row(seq))) +
           " WHERE seq = " + std::to_string(seq));
  }
  void set_head(std::int64_t seq) {
    tamper("UPDATE audit_head SET hash = (SELECT hash FROM audit WHERE seq = " + std::to_string(seq) +
           "), seq = " + std::to_string(seq));
  }
  void insert_copy(std::int64_t seq) {
    tamper("INSERT INTO audit SELECT " + std::to_string(seq) +
           ", time_ms, request_id, uid, user, login_uid, pid, comm, socket, action, scenario_id, status, detail, NULL, "
           "NULL FROM audit WHERE seq = 2");
  }
  void reopen() {
    close();
    open();
  }
};

TEST_F(AuditForgery, AlteredRowWithItsOwnHashRecomputedIsFound) {
  append(5);
  for (const std::int64_t seq : {1, 3, 4}) {
    tamper("CREATE TABLE kept AS SELECT * FROM audit");
    forge(seq, "uid = 0");
    EXPECT_EQ(problem(), std::to_string(seq) + " altered");
    reopen();
    EXPECT_EQ(problem(), std::to_string(seq) + " altered");
    tamper("DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept");
    ASSERT_EQ(problem(), "");
  }
}

TEST_F(AuditForgery, LastRowWithItsOwnHashRecomputedIsFound) {
  append(5);
  forge(5, "uid = 0");
  EXPECT_EQ(problem(), "5 altered") << "known from the memory of the process";
  reopen();
  EXPECT_EQ(problem(), "5 head does not match");
}

TEST_F(AuditForgery, ChainRewrittenToItsEndIsFoundByTheProcessThatWroteIt) {
  append(5);
  forge(3, "uid = 0");
  for (const std::int64_t seq : {4, 5}) set_hashes(seq, *row(seq - 1).hash);
  set_head(5);
  EXPECT_EQ(problem(), "5 altered");
}

TEST_F(AuditForgery, RowInsertedWithTheRightHashIsFound) {
  append(5);
  tamper("UPDATE audit SET seq = seq + 100 WHERE seq >= 3; UPDATE audit SET seq = seq - 99 WHERE seq > 100");
  insert_copy(3);
  set_hashes(3, *row(2).hash);
  EXPECT_EQ(problem(), "3 inserted");
}

TEST_F(AuditForgery, RowAppendedWithTheRightHashIsFound) {
  append(5);
  insert_copy(6);
  set_hashes(6, *row(5).hash);
  EXPECT_EQ(problem(), "5 head does not match");
  append(1);
  EXPECT_EQ(row(7).seq, 7) << "the number is taken: writing goes on behind it";
  EXPECT_EQ(problem(), "6 inserted");
}

TEST_F(AuditForgery, RemovedTailStaysVisibleWhenTheLogGoesOn) {
  append(5);
  tamper("DELETE FROM audit WHERE seq >= 4; UPDATE sqlite_sequence SET seq = 3 WHERE name = 'audit'");
  set_head(3);
  append(2);
  EXPECT_EQ(problem(), "4 removed");
  reopen();
  EXPECT_EQ(problem(), "4 removed");
}

TEST_F(AuditForgery, NothingIsWrittenBehindAHeadThatIsMissing) {
  append(2);
  tamper("DELETE FROM audit_head");
  const auto seq = audit_->append(audit_example());
  ASSERT_FALSE(seq);
  EXPECT_THAT(seq.error().message, testing::HasSubstr("head of the audit log is missing"));
  EXPECT_NE(seq.error().hint, "");
}

TEST_F(AuditForgery, VerificationGoesInStepsAndLooksAtWhatThereWasAtItsBegin) {
  append(300);
  auto verifier = audit_->verifier();
  ASSERT_TRUE(verifier) << verifier.error().message;
  int steps = 0;
  while (!verifier->step(std::chrono::nanoseconds(0)).value()) {
    ++steps;
    append(1);
  }
  EXPECT_EQ(steps, 4) << "of 64 rows each";
  EXPECT_TRUE(verifier->result().ok());
  EXPECT_EQ(verifier->result().checked, 300);
  EXPECT_EQ(verified().checked, 304);
}

/// A store that the version before the chain has written: three rows, see fixtures/store_v1.sql.
class AuditMigration : public AuditForgery {
 protected:
  void SetUp() override {
    std::ifstream fixture(CHAOS_SOURCE_DIR "/tests/unit/fixtures/store_v1.sql");
    const std::string sql((std::istreambuf_iterator<char>(fixture)), {});
    const std::array<std::string_view, 1> migrations = {sql};
    const auto old = Database::open(file_, migrations);
    ASSERT_TRUE(old) << old.error().message;
  }
};

TEST_F(AuditMigration, OldRowsStayAndTheChainBeginsBehindThem) {
  open();
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().unchained, 3);
  EXPECT_EQ(verified().checked, 0);
  EXPECT_EQ(row(2).action, "stop_scenario");
  EXPECT_EQ(row(2).hash, std::nullopt);
  append(2);
  EXPECT_EQ(row(4).hash, audit_hash(kAuditGenesis, row(4)));
  EXPECT_EQ(problem(), "");
  EXPECT_EQ(verified().unchained, 3);
  EXPECT_EQ(verified().checked, 2);
  reopen();
  EXPECT_EQ(problem(), "");
}

TEST_F(AuditMigration, OldRowThatIsMissingIsFound) {
  open();
  append(2);
  tamper("DELETE FROM audit WHERE seq = 2");
  EXPECT_EQ(problem(), "2 removed");
}

TEST_F(AuditMigration, OldRowThatWasCutOffBeforeIsFound) {
  tamper("DELETE FROM audit WHERE seq = 3");
  open();
  EXPECT_EQ(problem(), "3 removed");
  append(1);
  EXPECT_EQ(row(4).seq, 4);
  EXPECT_EQ(problem(), "3 removed");
}

TEST_F(AuditMigration, NoHashIsToleratedOnlyBeforeTheChain) {
  open();
  append(2);
  tamper("UPDATE audit SET prev_hash = NULL, hash = NULL WHERE seq = 4");
  EXPECT_EQ(problem(), "4 inserted");
  tamper("UPDATE audit SET prev_hash = zeroblob(32), hash = zeroblob(32) WHERE seq = 3");
  EXPECT_EQ(problem(), "3 altered");
}

}  // namespace
}  // namespace chaos
