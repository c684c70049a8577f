#include "tests/ranks.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <exception>
#include <thread>

namespace earmark {

namespace {

std::string thrown_by(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string all_of(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(descriptor);
  return text;
}

}  // namespace

// Below the ports that the system gives to whoever connects to something (from 32768 on): none of those takes it before
// the rank listens. Tests that run at the same time begin to look at different places.
int free_port() {
  constexpr int kFirst = 20000;
  constexpr int kCount = 12000;
  static std::atomic<int> next{::getpid() * 37};
  while (true) {
    const int port = kFirst + static_cast<int>(static_cast<unsigned>(next++) % kCount);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(descriptor);
    if (free) {
      return port;
    }
  }
}

Rank local_rank(int rank, int size, int port) {
  return {.rank = rank,
          .size = size,
          .local_rank = rank,
          .local_size = size,
          .master_addr = "127.0.0.1",
          .master_port = port};
}

std::vector<std::string> problems_of_threads(int size, const RankWork& work, std::chrono::milliseconds timeout) {
  const int port = free_port();
  std::vector<std::string> problems(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      problems[static_cast<std::size_t>(rank)] =
          thrown_by([&] { work(make_communicator(local_rank(rank, size, port), timeout)); });
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return problems;
}

void run_as_ranks(int size, const RankWork& work) {
  for (const std::string& problem : problems_of_threads(size, work)) {
    EXPECT_EQ(problem, "");
  }
}

std::vector<std::string> problems_of_processes(int size, const RankWork& work, std::chrono::milliseconds timeout,
                                               const std::function<void(const std::vector<int>& ids)>& watch) {
  const int port = free_port();
  std::vector<int> ids;
  std::vector<int> pipes;
  for (int rank = 0; rank < size; ++rank) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const pid_t id = ::fork();
    if (id == 0) {
      const std::string problem = thrown_by([&] { work(make_communicator(local_rank(rank, size, port), timeout)); });
      const bool said = ::write(ends[1], problem.data(), problem.size()) == static_cast<ssize_t>(problem.size());
      ::_exit(said ? 0 : 1);
    }
    ::close(ends[1]);
    ids.push_back(id);
    pipes.push_back(ends[0]);
  }
  if (watch) {
    watch(ids);
  }
  std::vector<std::string> problems;
  for (std::size_t rank = 0; rank < ids.size(); ++rank) {
    problems.push_back(all_of(pipes[rank]));
    int status = 0;
    ::waitpid(ids[rank], &status, 0);
    if (WIFSIGNALED(status)) {
      problems.back() = "killed by signal " + std::to_string(WTERMSIG(status));
    }
  }
  return problems;
}

std::vector<std::unique_ptr<testing::Program>> programs_as_ranks(const std::string& name, int size,
                                                                 const std::vector<std::string>& arguments) {
  const std::string port = std::to_string(free_port());
  const std::string count = std::to_string(size);
  const testing::EnvironmentScope group[] = {{"WORLD_SIZE", count.c_str()},
                                             {"LOCAL_WORLD_SIZE", count.c_str()},
                                             {"MASTER_ADDR", "127.0.0.1"},
                                             {"MASTER_PORT", port.c_str()}};
  std::vector<std::unique_ptr<testing::Program>> programs;
  for (int rank = 0; rank < size; ++rank) {
    const std::string own = std::to_string(rank);
    const testing::EnvironmentScope ranks[] = {{"RANK", own.c_str()}, {"LOCAL_RANK", own.c_str()}};
    programs.push_back(std::make_unique<testing::Program>(name, arguments));
  }
  return programs;
}

}  // namespace earmark
