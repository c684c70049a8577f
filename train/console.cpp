#include "train/console.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/error.h"
#include "train/descriptor.h"

namespace earmark::train {

void Console::write(Stream stream, std::string_view lines) {
  const bool to_out = stream == Stream::out;
  bool& broken = broken_[to_out ? 0 : 1];
  if (!broken && !write_all(to_out ? STDOUT_FILENO : STDERR_FILENO, lines)) {
    broken = true;
    problem_ = str("standard ", to_out ? "output" : "error", " cannot be written: ", std::strerror(errno));
  }
}

void Console::say(const std::string& sentence) { write(Stream::err, "launch: " + sentence + "\n"); }

}  // namespace earmark::train
