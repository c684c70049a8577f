// What one rank writes to its standard output or standard error: shown line by line behind the rank's number, copied
// into a log as it is, and its end remembered for the report of a failure.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <string_view>

#include "train/console.h"
#include "train/descriptor.h"
#include "train/line_splitter.h"

namespace earmark::train {

class RankStream {
 public:
  /// The end to read of a pipe. Where `shown`, lines go to the console's `stream`.
  RankStream(Descriptor pipe, int rank, Console& console, Console::Stream stream, bool shown);

  /// Copies all bytes into a new file as well. Throws Error where it cannot be made.
  void log_to(const std::filesystem::path& file);
  /// -1 once everything has been read.
  int descriptor() const { return pipe_.get(); }
  /// Takes some of what is there, without waiting; false where there was nothing.
  bool read();
  /// Takes all that the pipe holds.
  void read_all();
  /// Takes the last of it: nothing more is read, though something else may still hold the pipe open.
  void finish();
  /// Not more than kLastLines.
  const std::deque<std::string>& last_lines() const { return last_lines_; }
  /// "[rank 1] ", what its lines begin with.
  const std::string& prefix() const { return prefix_; }
  const std::filesystem::path& log() const { return log_path_; }

  static constexpr std::size_t kLastLines = 20;

 private:
  void take(std::string_view bytes);
  void close();
  void keep(std::string_view line);

  Descriptor pipe_;
  std::string prefix_;
  Console* console_;
  Console::Stream stream_;
  bool shown_;
  Descriptor log_;
  std::filesystem::path log_path_;
  LineSplitter splitter_;
  std::string to_show_;
  std::deque<std::string> last_lines_;
};

}  // namespace earmark::train
