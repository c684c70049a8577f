// Standard output and standard error of the launcher, which all ranks share: whole lines only.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace earmark::train {

class Console {
 public:
  enum class Stream { out, err };

  /// Lines with their ends. Once they cannot be written, nothing more is tried on this stream.
  void write(Stream stream, std::string_view lines);
  /// A sentence of the launcher's own, on standard error.
  void say(const std::string& sentence);
  /// Why a stream cannot be written; empty while all is well.
  const std::string& problem() const { return problem_; }

 private:
  std::array<bool, 2> broken_{};
  std::string problem_;
};

}  // namespace earmark::train
