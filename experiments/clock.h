// The clock that stages are timed by.
#pragma once

#include <chrono>

namespace earmark::experiments {

/// Seconds since some moment: only differences mean something. Never steps back.
inline double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace earmark::experiments
