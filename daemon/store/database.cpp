#include "store/database.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace chaos {
namespace {

constexpr int kBusyTimeoutMs = 2000;

std::unexpected<Error> fail_sqlite(sqlite3* connection, std::string_view what, int code) {
  const char* message = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  Error error;
  error.message = fmt::format("{}: {} (SQLite code {})", what, message, code);
  if (connection != nullptr) error.sys_errno = sqlite3_system_errno(connection);
  return std::unexpected(std::move(error));
}

bool means_damaged(int code) {
  const int primary = code & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

// SQLite would create the file with 0644; its -wal and -shm files take over the mode that it finds.
Status create_private(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return fail_errno(file.string());
  return {};
}

Result<std::filesystem::path> move_aside(const std::filesystem::path& file) {
  const auto stamp = system_clock().wall().time_since_epoch().count();
  std::filesystem::path kept = file;
  kept += fmt::format(".corrupt-{}", stamp);
  for (const char* suffix : {"-wal", "-shm", ""}) {
    std::filesystem::path from = file;
    std::filesystem::path to = kept;
    std::error_code error;
    std::filesystem::rename(from += suffix, to += suffix, error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return fail_errno("move damaged " + from.string() + " aside", error.value());
    }
  }
  return kept;
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      statement_(std::exchange(other.statement_, nullptr)),
      bind_error_(other.bind_error_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  if (this != &other) {
    sqlite3_finalize(statement_);
    connection_ = other.connection_;
    statement_ = std::exchange(other.statement_, nullptr);
    bind_error_ = other.bind_error_;
  }
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::note(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

Statement& Statement::bind(int index, std::int64_t value) {
  note(sqlite3_bind_int64(statement_, index, value));
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  const char* data = value.data() != nullptr ? value.data() : "";  // a null pointer would bind NULL
  note(sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int index, std::optional<std::int64_t> value) {
  if (value) return bind(index, *value);
  note(sqlite3_bind_null(statement_, index));
  return *this;
}

Statement& Statement::bind(int index, std::span<const std::byte> value) {
  note(sqlite3_bind_blob64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT));
  return *this;
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return fail_sqlite(nullptr, "bind", bind_error_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail_sqlite(connection_, sqlite3_sql(statement_), code);
}

Status Statement::run() {
  auto more = step();
  while (more && *more) more = step();
  reset();
  if (!more) return std::unexpected(std::move(more.error()));
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  bind_error_ = SQLITE_OK;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }

std::optional<std::int64_t> Statement::optional_integer(int column) const {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

std::string Statement::text(int column) const {
  const unsigned char* data = sqlite3_column_text(statement_, column);
  if (data == nullptr) return {};
  return {reinterpret_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  return {data, data == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file,
                                                 std::span<const std::string_view> migrations) {
  bool damaged = false;
  auto database = open_once(file, migrations, damaged);
  if (database || !damaged) return database;

  Error problem = std::move(database.error());
  auto kept = move_aside(file);
  if (!kept) return with_context(problem.message, std::move(kept.error()));
  database = open_once(file, migrations, damaged);
  if (!database) return database;
  problem.message += fmt::format("; moved to {}, a new one begun", kept->string());
  problem.hint = fmt::format("sqlite3 {} .recover may save its rows", kept->string());
  (*database)->moved_aside_ = std::move(problem);
  return database;
}

Result<std::unique_ptr<Database>> Database::open_once(const std::filesystem::path& file,
                                                      std::span<const std::string_view> migrations, bool& damaged) {
  damaged = false;
  if (auto created = create_private(file); !created) return std::unexpected(std::move(created.error()));
  sqlite3* connection = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(file.c_str(), &connection, flags, nullptr);
  std::unique_ptr<Database> database(new Database(connection));
  if (code != SQLITE_OK) return fail_sqlite(connection, file.string(), code);
  sqlite3_extended_result_codes(connection, 1);
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);

  const auto failed = [&](Error error) {
    damaged = means_damaged(sqlite3_errcode(connection));
    return with_context(file.string(), std::move(error));
  };
  // FULL: a commit survives a power cut also in WAL mode, at the price of one fsync each.
  if (auto done = database->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"); !done) {
    return failed(std::move(done.error()));
  }
  auto check = database->prepare("PRAGMA quick_check(1)");
  if (!check) return failed(std::move(check.error()));
  const auto row = check->step();
  if (!row) return failed(row.error());
  if (check->text(0) != "ok") {
    damaged = true;
    return fail(Errc::kInternal, fmt::format("{}: damaged: {}", file.string(), check->text(0)));
  }
  check->reset();
  if (auto done = database->migrate(migrations); !done) return failed(std::move(done.error()));
  return database;
}

Database::~Database() { sqlite3_close(connection_); }

Status Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail_sqlite(connection_, "execute", code);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(connection_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                      &statement, nullptr);
  if (code != SQLITE_OK) return fail_sqlite(connection_, sql, code);
  return Statement(connection_, statement);
}

std::int64_t Database::changes() const { return sqlite3_changes64(connection_); }

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(connection_); }

Status Database::migrate(std::span<const std::string_view> migrations) {
  const auto latest = static_cast<std::int64_t>(migrations.size());
  while (true) {
    // The version is read under the write lock: two daemons that open one file do not both migrate it.
    auto transaction = Transaction::begin(*this);
    if (!transaction) return std::unexpected(std::move(transaction.error()));
    auto query = prepare("PRAGMA user_version");
    if (!query) return std::unexpected(std::move(query.error()));
    const auto row = query->step();
    if (!row) return std::unexpected(row.error());
    const std::int64_t version = query->integer(0);
    query->reset();
    if (version > latest) {
      return fail(Errc::kUnsupported, fmt::format("written by a newer chaosd: schema {}, known {}", version, latest),
                  {}, {}, "install that version again, or move the file away");
    }
    if (version == latest) return transaction->commit();
    const auto sql =
        fmt::format("{}; PRAGMA user_version = {}", migrations[static_cast<std::size_t>(version)], version + 1);
    if (auto done = execute(sql); !done) {
      return with_context(fmt::format("migrate schema {} to {}", version, version + 1), std::move(done.error()));
    }
    if (auto done = transaction->commit(); !done) return done;
  }
}

Result<Transaction> Transaction::begin(Database& database) {
  if (auto done = database.execute("BEGIN IMMEDIATE"); !done) return std::unexpected(std::move(done.error()));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ == nullptr) return;
  // Nothing to be done if it fails: SQLite rolls back by itself when the connection closes.
  [[maybe_unused]] const Status done = database_->execute("ROLLBACK");
}

Status Transaction::commit() {
  if (auto done = database_->execute("COMMIT"); !done) return done;
  database_ = nullptr;
  return {};
}

}  // namespace chaos
