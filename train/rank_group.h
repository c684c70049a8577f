// The ranks of one node, started together and ended together: their lines go to the console, signals to all of them,
// and the first that fails ends the rest.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "train/console.h"
#include "train/rank_guard.h"
#include "train/rank_process.h"
#include "train/rank_stream.h"
#include "train/signal_queue.h"

namespace earmark::train {

/// A rank to start.
struct RankPlan {
  int rank = 0;
  RankCommand command;
  bool shown = true;                ///< Its lines go to the console.
  std::filesystem::path log_dir{};  ///< Where rank-<r>.out and rank-<r>.err are made; empty: nowhere.
};

/// How a group ended.
struct GroupEnd {
  /// Of the rank that failed first, unless a signal had been asked for before.
  std::optional<RankEnd> failure;
  int signal = 0;         ///< That this process was told to end by; 0: none.
  bool all_well = false;  ///< All ranks ended with exit code 0.
};

class RankGroup {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts all. Throws Error where one cannot be; none runs then. `grace`: what ranks that are told to end have, until
  /// they are killed.
  RankGroup(const std::vector<RankPlan>& plans, Clock::duration grace, Console& console, SignalQueue& signals,
            RankGuard& guard);
  /// Until nothing that was started runs any more. Reports on the console what went wrong.
  GroupEnd run();

 private:
  struct Member {
    int rank;
    RankProcess process;
    RankStream out;
    RankStream err;
    std::optional<RankEnd> end{};
  };

  void start(const RankPlan& plan);
  void wait_for_news();
  void read_signals();
  void pause();
  void read_streams();
  void collect_ends();
  void fail_with(std::vector<Member*> failed);
  void check_console();
  void end_all(int signal);
  void kill_after_grace();
  bool all_ended() const;
  bool nothing_left();
  void report();
  void show_last_lines(const Member& member);
  void signal_all(int signal) const;

  Clock::duration grace_;
  Console& console_;
  SignalQueue& signals_;
  RankGuard& guard_;
  std::vector<Member> members_;
  std::optional<Clock::time_point> deadline_;  // set once they are told to end
  std::string told_by_;                        // the name of the signal
  bool killed_ = false;
  bool reaped_ = false;
  std::optional<std::size_t> first_failed_;
  GroupEnd end_;
};

}  // namespace earmark::train
