#include "experiments/peer_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kernels/error.h"

namespace earmark::experiments {

PeerProcess::PeerProcess(const std::vector<std::string>& command) : name_(command.at(0)) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  check(pipe2(in.data(), O_CLOEXEC) == 0 && pipe2(out.data(), O_CLOEXEC) == 0, "peer: no pipe: ", std::strerror(errno));
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) {
    arguments.push_back(word.data());
  }
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions{};
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const int error = posix_spawnp(&pid_, name_.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  to_ = fdopen(in[1], "w");
  from_ = fdopen(out[0], "r");
  check(error == 0, "peer: cannot start ", name_, ": ", std::strerror(error));
}

PeerProcess::~PeerProcess() {
  std::fclose(to_);  // the peer reads to the end of its input, then leaves
  std::fclose(from_);
  if (pid_ > 0) {
    waitpid(pid_, nullptr, 0);
  }
}

std::string PeerProcess::read_line() {
  char* line = nullptr;
  std::size_t size = 0;
  const ssize_t length = getline(&line, &size, from_);
  std::string out = length > 0 ? std::string(line, static_cast<std::size_t>(length)) : std::string();
  std::free(line);  // NOLINT(cppcoreguidelines-no-malloc): getline allocates
  check(length > 0, "peer: ", name_, " ended without an answer; see its message above");
  while (!out.empty() && out.back() == '\n') {
    out.pop_back();
  }
  return out;
}

void PeerProcess::write_line(const std::string& line) {
  std::fputs((line + "\n").c_str(), to_);
  check(std::fflush(to_) == 0, "peer: ", name_, " does not listen any more");
}

}  // namespace earmark::experiments
