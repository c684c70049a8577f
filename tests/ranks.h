// Several ranks in one test: as threads of this process, or as processes that can be killed and stopped.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/communicator.h"
#include "tests/program.h"

namespace earmark {

/// Of this machine, where nobody listens.
int free_port();
/// Rank `rank` of `size`, all on this machine.
Rank local_rank(int rank, int size, int port);

using RankWork = std::function<void(const std::shared_ptr<Communicator>& ranks)>;
/// Runs `work` as every rank of `size`, each on a thread. What each rank threw; empty: nothing.
std::vector<std::string> problems_of_threads(int size, const RankWork& work,
                                             std::chrono::milliseconds timeout = std::chrono::seconds(60));
/// The same, and none may have thrown.
void run_as_ranks(int size, const RankWork& work);

/// The same as processes: also those that were killed have a problem, "killed by signal 9". `watch` is called while
/// they run, with their ids, by rank.
std::vector<std::string> problems_of_processes(int size, const RankWork& work, std::chrono::milliseconds timeout,
                                               const std::function<void(const std::vector<int>& ids)>& watch = {});

/// A program of the project as every rank of `size`, told by its environment as a launcher does.
std::vector<std::unique_ptr<testing::Program>> programs_as_ranks(const std::string& name, int size,
                                                                 const std::vector<std::string>& arguments);

}  // namespace earmark
