// Progress of long work on standard error: a bar with rate and time left on a terminal, a plain line every few seconds
// otherwise. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>

namespace earmark::data {

class Progress {
 public:
  /// `total` units of work, 0 when unknown. `enabled` false: silent.
  Progress(std::string title, std::int64_t total, std::string unit, bool enabled = true, std::FILE* out = stderr);
  /// Ends the bar.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add(std::int64_t done = 1);
  void set(std::int64_t done);
  /// Text shown behind the bar ("loss 2.31").
  void note(std::string text);
  /// A line of its own above the bar.
  void line(const std::string& text);

 private:
  void draw(bool last);
  std::string text(double elapsed_s) const;

  std::string title_;
  std::int64_t total_;
  std::string unit_;
  bool enabled_;
  std::FILE* out_;
  bool terminal_;
  std::mutex mutex_;
  std::int64_t done_ = 0;
  std::string note_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point drawn_;
};

/// "1:02:03", "4:05".
std::string format_duration(double seconds);

}  // namespace earmark::data
