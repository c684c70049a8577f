// Starts a group of processes, the ranks, and watches over them as torchrun does: the same program, each knowing by its
// environment which one it is (train/rank.h), each with its part of the machine. When one fails, all end; they may be
// started again.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace earmark::train {

struct LaunchOptions {
  int local_size = 1;  ///< Ranks on this node.
  int nodes = 1;
  int node_rank = 0;                ///< Which of the nodes this one is.
  std::string master_addr{};        ///< Of node 0; empty: this machine, where it is the only one.
  int master_port = 0;              ///< 0: a free one on one node, torchrun's 29500 on several.
  int max_restarts = 0;             ///< Of the group, after a failure.
  std::filesystem::path log_dir{};  ///< Gets <restart>/rank-<r>.out and .err; empty: all ranks are shown.
  double grace_seconds = 30;        ///< From being told to end to being killed.
  bool divide_threads = false;      ///< num_threads() is what all ranks have together, whatever EARMARK_THREADS says.
  std::vector<std::string> command{};  ///< The program and its arguments.
};

/// What is wrong with the options, as a sentence; empty where they go together.
std::string problem_of(const LaunchOptions& options);

/// Runs the group until it has ended, at most 1 + max_restarts times. Every rank gets torchrun's variables, the
/// processors that are its part of this process's, EARMARK_THREADS with its part of the threads unless that is
/// set, and CUDA_VISIBLE_DEVICES with its part of the GPUs. Returns the exit code: 0 where all ranks ended well; the
/// failed rank's where it is 2, bad usage, which is not tried again; else 1. Told by a signal to end, and some rank did
/// not end well, this process ends by that signal. Throws Error where the program cannot be started or a log not be
/// made.
int launch(const LaunchOptions& options);

}  // namespace earmark::train
