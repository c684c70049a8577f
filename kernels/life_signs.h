// Whether a process that others wait for gets on with its work. A rank that works alone for a long time (decodes music,
// writes a checkpoint) answers the others from a thread of its own, which would go on where the work itself hangs: so
// it tells them how many signs of life the work has given, and who gives none for too long is given up.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace earmark {

/// Something small is done: a task of a kernel, a piece of a file. Whatever may take longer than ranks wait for each
/// other says so now and then. Cheap; from any thread.
void show_life();
/// How often this process has.
std::uint64_t signs_of_life();

/// Of all ranks, as one of them sees it.
class LifeWatch {
 public:
  /// Who gives no sign for `timeout` is silent.
  LifeWatch(int size, std::chrono::milliseconds timeout);

  /// What `rank` says by now.
  void see(int rank, std::uint64_t signs);
  /// Rank `rank` has nothing more to do: it may be silent.
  void excuse(int rank);
  /// The first rank that is silent; -1: none is.
  int silent() const;
  /// "rank 1 of 3 gets nowhere ..."
  std::string sentence(int rank) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Seen {
    std::uint64_t signs = 0;
    Clock::time_point since{};
    bool excused = false;
  };
  std::vector<Seen> ranks_;
  std::chrono::milliseconds timeout_;
};

}  // namespace earmark
