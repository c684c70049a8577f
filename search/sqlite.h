// SQLite with RAII and exceptions: only what the catalogue needs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace earmark::search {

/// Bytes that go in and out as a BLOB, whatever their encoding.
struct Blob {
  std::string bytes;
};

class Sqlite;

/// A prepared statement. Values are bound from position 1, columns read from 0.
class Statement {
 public:
  Statement(Sqlite& connection, std::string_view sql);

  Statement& bind(int position, std::int64_t value);
  Statement& bind(int position, double value);
  Statement& bind(int position, std::string_view text);
  Statement& bind(int position, const Blob& blob);
  /// Advances to the next row; false at the end.
  bool step();
  /// Runs it to its end, and makes it ready to be bound again.
  void run();
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;  ///< Text or blob, as bytes.

 private:
  void check_code(int code) const;
  Sqlite* connection_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
};

/// A connection. Every error throws Error naming the file. Waits up to a minute for other connections' locks.
class Sqlite {
 public:
  enum class Mode { read, write, create };
  Sqlite(const std::filesystem::path& file, Mode mode);

  void execute(std::string_view sql);
  std::int64_t last_insert_id() const;
  const std::string& name() const { return name_; }

 private:
  friend class Statement;
  friend class Transaction;
  [[noreturn]] void fail_with_message(int code) const;
  std::string name_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> connection_;
};

/// Rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Sqlite& connection, std::string_view kind = "IMMEDIATE");
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Sqlite& connection_;
  bool open_ = true;
};

}  // namespace earmark::search
