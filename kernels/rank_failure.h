// Why ranks do not go on together: what a process noticed first, whichever of its threads did.
#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace earmark {

/// "rank 1 of 3 did not answer rank 0 within 60 s ..."
std::string silent_rank(int other, int rank, int size, std::chrono::milliseconds timeout);
/// "rank 1 of 3 has ended, or given up on another rank (seen by rank 0 ...)". `seen` is more that is known, or nothing.
std::string gone_rank(int other, int rank, int size, const std::string& seen = "");

/// What fails first is the cause of all that fails later.
class FirstFailure {
 public:
  void note(const std::string& why);
  /// The same, and throws Error with what was noted first.
  [[noreturn]] void tell(const std::string& why);

 private:
  std::mutex mutex_;
  std::string first_;
};

}  // namespace earmark
