// One rank as a process of its own: started, signalled with all that it has started itself, and seen to end.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/descriptor.h"
#include "train/rank_guard.h"

namespace earmark::train {

struct RankCommand {
  std::string file;                      ///< The program, a path.
  std::vector<std::string> arguments;    ///< Its own name first.
  std::vector<std::string> environment;  ///< All of it, NAME=value.
  std::vector<int> processors;           ///< Those it may run on; empty: as this process.
};

/// How a process ended.
struct RankEnd {
  bool by_signal = false;
  int number = 0;  ///< The signal, else the exit code.
  bool well() const { return !by_signal && number == 0; }
};
/// "exit code 3", "killed by SIGSEGV"
std::string describe(const RankEnd& end);

class RankProcess {
 public:
  /// Starts it in a process group of its own, with nothing to read and the signals of `mask` blocked; it is killed when
  /// this process ends, however it ends, and what it has started by `guard`. Throws Error where the file cannot be
  /// executed.
  RankProcess(const RankCommand& command, const sigset_t& mask, const RankGuard& guard);
  /// Kills its group unless it has been reaped.
  ~RankProcess();
  RankProcess(RankProcess&& other) noexcept;
  RankProcess& operator=(RankProcess&&) = delete;
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  /// The ends to read of its standard output and standard error; once each.
  Descriptor take_out() { return std::move(out_); }
  Descriptor take_err() { return std::move(err_); }
  /// To its whole group.
  void signal(int signal) const;
  /// How it ended, once it has; its number stays its own until reap().
  std::optional<RankEnd> end() const;
  /// After end(): the system forgets it.
  void reap();
  /// After reap(): something that it had started still runs.
  bool left_something() const;

 private:
  pid_t group_ = -1;
  bool reaped_ = false;
  Descriptor out_;
  Descriptor err_;
};

}  // namespace earmark::train
