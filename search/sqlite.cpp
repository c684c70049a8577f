#include "search/sqlite.h"

#include <sqlite3.h>

#include "data/audio_files.h"
#include "kernels/error.h"

namespace earmark::search {

Statement::Statement(Sqlite& connection, std::string_view sql)
    : connection_(&connection), statement_(nullptr, sqlite3_finalize) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(connection.connection_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  statement_.reset(statement);
  check_code(code);
}

void Statement::check_code(int code) const {
  if (code != SQLITE_OK) {
    connection_->fail_with_message(code);
  }
}

Statement& Statement::bind(int position, std::int64_t value) {
  check_code(sqlite3_bind_int64(statement_.get(), position, value));
  return *this;
}

Statement& Statement::bind(int position, double value) {
  check_code(sqlite3_bind_double(statement_.get(), position, value));
  return *this;
}

Statement& Statement::bind(int position, std::string_view text) {
  // SQLITE_TRANSIENT is a cast from -1 to a function pointer.
  check_code(sqlite3_bind_text64(statement_.get(), position, text.data(), text.size(),
                                 SQLITE_TRANSIENT,  // NOLINT
                                 SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(int position, const Blob& blob) {
  check_code(sqlite3_bind_blob64(statement_.get(), position, blob.bytes.data(), blob.bytes.size(),
                                 SQLITE_TRANSIENT));  // NOLINT
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    connection_->fail_with_message(code);
  }
  return code == SQLITE_ROW;
}

void Statement::run() {
  while (step()) {
  }
  check_code(sqlite3_reset(statement_.get()));
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_.get(), column); }

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

Sqlite::Sqlite(const std::filesystem::path& file, Mode mode)
    : name_(data::printable(file.string())), connection_(nullptr, sqlite3_close) {
  // Also for reading: a writer may have been killed, and its journal is rolled back then. SQLite itself falls back to
  // reading only where the file is protected.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX;
  if (mode == Mode::create) {
    flags |= SQLITE_OPEN_CREATE;
  }
  sqlite3* connection = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &connection, flags, nullptr);
  connection_.reset(connection);
  if (code != SQLITE_OK) {
    fail_with_message(code);
  }
  constexpr int kWaitMilliseconds = 60000;
  sqlite3_busy_timeout(connection, kWaitMilliseconds);
  sqlite3_extended_result_codes(connection, 1);
  if (mode != Mode::read) {
    execute("PRAGMA synchronous = EXTRA");
  }
}

void Sqlite::execute(std::string_view sql) {
  const int code = sqlite3_exec(connection_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) {
    fail_with_message(code);
  }
}

std::int64_t Sqlite::last_insert_id() const { return sqlite3_last_insert_rowid(connection_.get()); }

void Sqlite::fail_with_message(int code) const {
  fail(name_, ": ", connection_ ? sqlite3_errmsg(connection_.get()) : sqlite3_errstr(code));
}

Transaction::Transaction(Sqlite& connection, std::string_view kind) : connection_(connection) {
  connection.execute("BEGIN " + std::string(kind));
}

Transaction::~Transaction() {
  if (open_) {
    sqlite3_exec(connection_.connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  connection_.execute("COMMIT");
  open_ = false;
}

}  // namespace earmark::search
