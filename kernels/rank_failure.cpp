#include "kernels/rank_failure.h"

#include "kernels/error.h"
#include "kernels/socket.h"

namespace earmark {

std::string silent_rank(int other, int rank, int size, std::chrono::milliseconds timeout) {
  return str("rank ", other, " of ", size, " did not answer rank ", rank, " within ", seconds_text(timeout),
             ": it hangs, or cannot be reached");
}

std::string gone_rank(int other, int rank, int size, const std::string& seen) {
  return str("rank ", other, " of ", size, " has ended, or given up on another rank (seen by rank ", rank,
             seen.empty() ? "" : ": ", seen, ")");
}

void FirstFailure::note(const std::string& why) {
  const std::scoped_lock lock(mutex_);
  if (first_.empty()) {
    first_ = why;
  }
}

void FirstFailure::tell(const std::string& why) {
  note(why);
  const std::scoped_lock lock(mutex_);
  fail(first_);
}

}  // namespace earmark
