// Bytes as they come become whole lines. A progress bar, which goes back to the line's beginning, has a line for each
// of its states.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace earmark::train {

class LineSplitter {
 public:
  /// Is called with a line without its end.
  using Take = std::function<void(std::string_view line)>;

  /// Lines end with \n, \r\n or \r, and after 64 KiB.
  void add(std::string_view bytes, const Take& take);
  /// What came after the last end, if anything.
  void finish(const Take& take);

 private:
  std::string line_;
  bool ended_by_return_ = false;  // a \n right behind belongs to it
};

}  // namespace earmark::train
