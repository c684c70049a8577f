#include "train/line_splitter.h"

#include <algorithm>

namespace earmark::train {

namespace {

constexpr std::size_t kLongest = 64 * 1024;

}  // namespace

void LineSplitter::add(std::string_view bytes, const Take& take) {
  while (!bytes.empty()) {
    const std::size_t room = kLongest - line_.size();
    const std::size_t length = std::min(bytes.find_first_of("\r\n"), std::min(bytes.size(), room));
    line_ += bytes.substr(0, length);
    bytes.remove_prefix(length);
    if (bytes.empty()) {
      ended_by_return_ = ended_by_return_ && line_.empty();
      return;
    }
    const char end = bytes.front();
    const bool rest_of_end = end == '\n' && ended_by_return_ && line_.empty();
    const bool blank_return = end == '\r' && line_.empty();
    if (!rest_of_end && !blank_return) {
      take(line_);
    }
    ended_by_return_ = end == '\r' && !line_.empty();
    line_.clear();
    bytes.remove_prefix(end == '\r' || end == '\n' ? 1 : 0);
  }
}

void LineSplitter::finish(const Take& take) {
  if (!line_.empty()) {
    take(line_);
    line_.clear();
  }
}

}  // namespace earmark::train
