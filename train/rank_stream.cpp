#include "train/rank_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/error.h"

namespace earmark::train {

namespace {

constexpr int kMostReads = 32;  // more than a pipe holds

}  // namespace

RankStream::RankStream(Descriptor pipe, int rank, Console& console, Console::Stream stream, bool shown)
    : pipe_(std::move(pipe)), prefix_(str("[rank ", rank, "] ")), console_(&console), stream_(stream), shown_(shown) {
  ::fcntl(pipe_.get(), F_SETFL, ::fcntl(pipe_.get(), F_GETFL) | O_NONBLOCK);
}

void RankStream::log_to(const std::filesystem::path& file) {
  log_path_ = file;
  log_ = Descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  check(log_.is_open(), file.string(), ": ", std::strerror(errno));
}

bool RankStream::read() {
  std::array<char, 64 * 1024> bytes{};
  const ssize_t count = pipe_.is_open() ? ::read(pipe_.get(), bytes.data(), bytes.size()) : -1;
  if (count > 0) {
    take({bytes.data(), static_cast<std::size_t>(count)});
  } else if (count == 0) {
    close();
  }
  return count > 0;
}

void RankStream::take(std::string_view bytes) {
  if (log_.is_open() && !write_all(log_.get(), bytes)) {
    console_->say(str(log_path_.string(), ": ", std::strerror(errno), "; it is not continued"));
    log_.close();  // a rank's work is worth more than its log
  }
  splitter_.add(bytes, [this](std::string_view line) { keep(line); });
  console_->write(stream_, to_show_);
  to_show_.clear();
}

void RankStream::read_all() {
  for (int i = 0; i < kMostReads && read(); ++i) {
  }
}

void RankStream::finish() {
  read_all();
  close();
}

/// What is left of a line is one too.
void RankStream::close() {
  pipe_.close();
  splitter_.finish([this](std::string_view line) { keep(line); });
  console_->write(stream_, to_show_);
  to_show_.clear();
}

void RankStream::keep(std::string_view line) {
  if (shown_) {
    to_show_ += prefix_;
    to_show_ += line;
    to_show_ += '\n';
  }
  if (last_lines_.size() == kLastLines) {
    last_lines_.pop_front();
  }
  last_lines_.emplace_back(line);
}

}  // namespace earmark::train
