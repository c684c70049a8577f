// Takes the ranks down when the launcher is killed. The system itself kills the ranks then (RankProcess), but nothing
// that they have started: a script's own children would go on for ever.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "train/descriptor.h"

namespace earmark::train {

/// A process that sleeps until the one which made it is gone, and then kills the process groups it was told.
class RankGuard {
 public:
  /// Throws Error where it cannot be started. `most`: groups at a time.
  explicit RankGuard(std::size_t most);
  /// Ends it; whatever runs goes on.
  ~RankGuard();
  RankGuard(const RankGuard&) = delete;
  RankGuard& operator=(const RankGuard&) = delete;

  /// In the first process of a group, between fork and exec: the guard watches over it from now on.
  void watch_this() const;
  /// All so far. To be called while they still have their numbers.
  void forget() const;

 private:
  Descriptor orders_;
  pid_t process_ = -1;
};

}  // namespace earmark::train
