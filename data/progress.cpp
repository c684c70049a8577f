#include "data/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace earmark::data {
namespace {

constexpr double kTerminalSeconds = 0.1;  // between redraws
constexpr double kPlainSeconds = 5;

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
  return text.data();
}

}  // namespace

std::string format_duration(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  std::array<char, 48> text{};
  if (whole >= 3600) {
    std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text.data(), text.size(), "%lld:%02lld", whole / 60, whole % 60);
  }
  return text.data();
}

Progress::Progress(std::string title, std::int64_t total, std::string unit, bool enabled, std::FILE* out)
    : title_(std::move(title)),
      total_(total),
      unit_(std::move(unit)),
      enabled_(enabled),
      out_(out),
      terminal_(enabled && ::isatty(::fileno(out)) == 1),
      start_(std::chrono::steady_clock::now()),
      drawn_(start_) {}

Progress::~Progress() {
  const std::scoped_lock lock(mutex_);
  draw(true);
}

void Progress::add(std::int64_t done) {
  const std::scoped_lock lock(mutex_);
  done_ += done;
  draw(false);
}

void Progress::set(std::int64_t done) {
  const std::scoped_lock lock(mutex_);
  done_ = done;
  draw(false);
}

void Progress::note(std::string text) {
  const std::scoped_lock lock(mutex_);
  note_ = std::move(text);
}

void Progress::line(const std::string& text) {
  const std::scoped_lock lock(mutex_);
  if (enabled_) {
    std::fprintf(out_, "%s%s\n", terminal_ ? "\r\033[K" : "", text.c_str());
    std::fflush(out_);
  }
}

std::string Progress::text(double elapsed_s) const {
  const double rate = elapsed_s > 0 ? static_cast<double>(done_) / elapsed_s : 0;
  std::string out = title_ + "  ";
  if (total_ > 0) {
    const double part = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
    if (terminal_) {
      constexpr int kWidth = 24;
      const auto full = static_cast<std::size_t>(part * kWidth);
      out.append("[").append(full, '=').append(kWidth - full, ' ').append("] ");
    }
    out += std::to_string(static_cast<int>(100 * part));
    out += " %  ";
  }
  out += std::to_string(done_);
  if (total_ > 0) {
    out += "/";
    out += std::to_string(total_);
  }
  out.append(" ").append(unit_).append("  ").append(number(rate)).append("/s");
  if (total_ > done_ && rate > 0) {
    out.append("  ").append(format_duration(static_cast<double>(total_ - done_) / rate)).append(" left");
  }
  return note_.empty() ? out : out + "  " + note_;
}

void Progress::draw(bool last) {
  if (!enabled_ || (!last && seconds_since(drawn_) < (terminal_ ? kTerminalSeconds : kPlainSeconds))) {
    return;
  }
  drawn_ = std::chrono::steady_clock::now();
  const double elapsed = seconds_since(start_);
  const std::string end = last ? "  in " + format_duration(elapsed) + "\n" : terminal_ ? "" : "\n";
  std::fprintf(out_, "%s%s%s", terminal_ ? "\r\033[K" : "", text(elapsed).c_str(), end.c_str());
  std::fflush(out_);
}

}  // namespace earmark::data
