// Database and Statement: RAII over one SQLite connection. Owns the connection; not synchronized: one connection is
// used from one thread, the disk thread (base/worker.h), because any call may block on fsync.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace chaos {

class Database;

/// A prepared statement; must not outlive its Database. Parameters count from 1, columns from 0.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view value);
  /// Empty: NULL.
  Statement& bind(int index, std::optional<std::int64_t> value);
  Statement& bind(int index, std::span<const std::byte> value);

  /// True: a row is there to be read. False: done. Errors: as Database; errors of bind() show up here.
  [[nodiscard]] Result<bool> step();
  /// For statements without rows: runs to the end, and resets for the next use, also after an error.
  Status run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::optional<std::int64_t> optional_integer(int column) const;
  [[nodiscard]] std::string text(int column) const;
  /// Valid until the next step(). Empty for NULL.
  [[nodiscard]] std::span<const std::byte> blob(int column) const;
  [[nodiscard]] bool is_null(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* connection, sqlite3_stmt* statement) : connection_(connection), statement_(statement) {}
  void note(int code);

  sqlite3* connection_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  int bind_error_ = 0;
};

class Database {
 public:
  /// Opens or creates `file` (mode 0600; its directory must exist) in WAL mode with full synchronisation, waits up to
  /// 2 s for a lock, and brings the schema up to date: `migrations[n]` leads from user_version n to n + 1, each in a
  /// transaction of its own. A file that is no database or is damaged is renamed to `FILE.corrupt-TIME` and a new one
  /// begun: moved_aside() then tells. Errors: kUnsupported if a newer chaosd has written the file, else kInternal.
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& file,
                                                std::span<const std::string_view> migrations);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Any number of statements without parameters.
  Status execute(const std::string& sql);
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  /// Rows that the last INSERT, UPDATE or DELETE touched.
  [[nodiscard]] std::int64_t changes() const;
  [[nodiscard]] std::int64_t last_insert_id() const;
  /// What was wrong with the old file and where it is now; empty if nothing was.
  [[nodiscard]] const std::optional<Error>& moved_aside() const { return moved_aside_; }

 private:
  explicit Database(sqlite3* connection) : connection_(connection) {}
  static Result<std::unique_ptr<Database>> open_once(const std::filesystem::path& file,
                                                     std::span<const std::string_view> migrations, bool& damaged);
  Status migrate(std::span<const std::string_view> migrations);

  sqlite3* connection_ = nullptr;
  std::optional<Error> moved_aside_;
};

/// Runs BEGIN IMMEDIATE; rolls back at the end of its life unless commit() succeeded.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(other.database_) { other.database_ = nullptr; }
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

/// The store's one file: audit and scenario history. Errors as Database::open.
Result<std::unique_ptr<Database>> open_store(const std::filesystem::path& file);

}  // namespace chaos
