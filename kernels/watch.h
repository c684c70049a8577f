// Waiting awake: for what comes soon.
#pragma once

#include <chrono>
#include <thread>

namespace earmark {

/// Waking a sleeping thread takes some 50 us on a virtual machine: to watch for about as long is never much worse than
/// to sleep at once, and most kernels of a training step follow within it.
inline constexpr std::chrono::microseconds kWatch{50};

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Watches for a condition for a while; true when it came.
template <class F>
bool watch(F condition, std::chrono::microseconds time = kWatch) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < 16; ++i) {
      if (condition()) {
        return true;
      }
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace earmark
