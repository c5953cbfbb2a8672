#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "store/database.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using testing::HasSubstr;

constexpr std::array<std::string_view, 1> kFirst = {"CREATE TABLE t (n INTEGER, s TEXT NOT NULL)"};
constexpr std::array<std::string_view, 2> kSecond = {kFirst[0], "ALTER TABLE t ADD COLUMN extra INTEGER DEFAULT 7"};

class DatabaseTest : public testing::Test {
 protected:
  [[nodiscard]] std::size_t files_named_corrupt() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      if (entry.path().string().find(".corrupt-") != std::string::npos) ++count;
    }
    return count;
  }

  test::TempDir directory_;
  std::filesystem::path file_ = directory_.path() / "chaosd.db";
};

std::int64_t number(Database& database, std::string_view sql) {
  auto statement = database.prepare(sql);
  EXPECT_TRUE(statement) << statement.error().message;
  const auto row = statement->step();
  EXPECT_TRUE(row && *row);
  return statement->integer(0);
}

TEST_F(DatabaseTest, IsPrivateAndKeepsRowsOverReopening) {
  {
    auto database = Database::open(file_, kFirst);
    ASSERT_TRUE(database) << database.error().message;
    auto insert = (*database)->prepare("INSERT INTO t VALUES (?, ?)");
    ASSERT_TRUE(insert);
    ASSERT_TRUE(insert->bind(1, std::int64_t{1}).bind(2, "one").run());
    ASSERT_TRUE(insert->bind(1, std::optional<std::int64_t>()).bind(2, std::string_view()).run());
    EXPECT_EQ((*database)->last_insert_id(), 2);
    EXPECT_EQ((*database)->changes(), 1);
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      EXPECT_EQ(entry.status().permissions(), std::filesystem::perms{0600}) << entry.path();
    }
  }
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database);
  EXPECT_FALSE((*database)->moved_aside());
  auto select = (*database)->prepare("SELECT n, s FROM t ORDER BY rowid");
  ASSERT_TRUE(select);
  ASSERT_TRUE(*select->step());
  EXPECT_EQ(select->optional_integer(0), 1);
  EXPECT_EQ(select->text(1), "one");
  ASSERT_TRUE(*select->step());
  EXPECT_EQ(select->optional_integer(0), std::nullopt);
  EXPECT_EQ(select->text(1), "");
  EXPECT_FALSE(*select->step());
}

TEST_F(DatabaseTest, UsesWriteAheadLogWithFullSync) {
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database);
  auto mode = (*database)->prepare("PRAGMA journal_mode");
  ASSERT_TRUE(*mode->step());
  EXPECT_EQ(mode->text(0), "wal");
  EXPECT_EQ(number(**database, "PRAGMA synchronous"), 2);
}

TEST_F(DatabaseTest, MigratesAnOlderFileAndKeepsItsRows) {
  {
    auto database = Database::open(file_, kFirst);
    ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (5, 'five')"));
    EXPECT_EQ(number(**database, "PRAGMA user_version"), 1);
  }
  auto database = Database::open(file_, kSecond);
  ASSERT_TRUE(database) << database.error().message;
  EXPECT_EQ(number(**database, "PRAGMA user_version"), 2);
  EXPECT_EQ(number(**database, "SELECT n + extra FROM t"), 12);
}

TEST_F(DatabaseTest, FailedMigrationLeavesTheOldSchema) {
  ASSERT_TRUE(Database::open(file_, kFirst));
  constexpr std::array<std::string_view, 2> kBroken = {kFirst[0], "CREATE TABLE u (n INTEGER); NONSENSE"};
  const auto failed = Database::open(file_, kBroken);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("migrate schema 1 to 2"));
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database);
  EXPECT_EQ(number(**database, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'"), 0);
}

TEST_F(DatabaseTest, RefusesAFileOfANewerVersionAndLeavesItAlone) {
  ASSERT_TRUE(Database::open(file_, kSecond));
  const auto refused = Database::open(file_, kFirst);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_EQ(files_named_corrupt(), 0U);
  EXPECT_TRUE(Database::open(file_, kSecond));
}

TEST_F(DatabaseTest, FileThatIsNoDatabaseIsMovedAside) {
  std::ofstream(file_) << std::string(5000, 'x');
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database) << database.error().message;
  ASSERT_TRUE((*database)->moved_aside());
  EXPECT_THAT((*database)->moved_aside()->message, HasSubstr("not a database"));
  EXPECT_THAT((*database)->moved_aside()->message, HasSubstr(".corrupt-"));
  EXPECT_EQ(files_named_corrupt(), 1U);
  EXPECT_EQ(number(**database, "SELECT count(*) FROM t"), 0);
}

TEST_F(DatabaseTest, DamagedPageIsFoundAtOpenAndMovedAside) {
  {
    auto database = Database::open(file_, kFirst);
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->execute("CREATE INDEX i ON t (s)"));
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (" + std::to_string(i) + ", hex(randomblob(100)))"));
    }
  }
  {
    std::fstream raw(file_, std::ios::in | std::ios::out | std::ios::binary);
    raw.seekp(4096 * 3);
    raw << std::string(8192, '\x5a');
  }
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database) << database.error().message;
  EXPECT_TRUE((*database)->moved_aside());
  EXPECT_EQ(files_named_corrupt(), 1U);
}

TEST_F(DatabaseTest, EmptyFileIsANewDatabase) {
  std::ofstream(file_).flush();
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database);
  EXPECT_FALSE((*database)->moved_aside());
}

TEST_F(DatabaseTest, MissingDirectoryIsAnErrorThatNamesIt) {
  const auto failed = Database::open(directory_.path() / "no" / "chaosd.db", kFirst);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("/no/chaosd.db: ENOENT"));
}

TEST_F(DatabaseTest, BadStatementsAndBindingsAreErrors) {
  auto database = Database::open(file_, kFirst);
  ASSERT_TRUE(database);
  EXPECT_FALSE((*database)->prepare("SELECT nonsense FROM t"));
  auto insert = (*database)->prepare("INSERT INTO t VALUES (?, ?)");
  EXPECT_FALSE(insert->bind(3, std::int64_t{1}).run());
  EXPECT_THAT(insert->bind(1, std::int64_t{1}).run().error().message, HasSubstr("NOT NULL"));
  EXPECT_TRUE(insert->bind(1, std::int64_t{1}).bind(2, "x").run());
}

TEST_F(DatabaseTest, TransactionThatIsNotCommittedLeavesNothing) {
  auto database = Database::open(file_, kFirst);
  {
    auto transaction = Transaction::begin(**database);
    ASSERT_TRUE(transaction);
    ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (1, 'x')"));
  }
  EXPECT_EQ(number(**database, "SELECT count(*) FROM t"), 0);
  auto transaction = Transaction::begin(**database);
  ASSERT_TRUE((*database)->execute("INSERT INTO t VALUES (1, 'x')"));
  ASSERT_TRUE(transaction->commit());
  EXPECT_EQ(number(**database, "SELECT count(*) FROM t"), 1);
}

}  // namespace
}  // namespace chaos
