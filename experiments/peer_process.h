// A peer as a child process that is spoken to in lines: one in, one out. It sleeps while our side runs.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <string>
#include <vector>

namespace earmark::experiments {

class PeerProcess {
 public:
  /// Starts `command` (found on PATH); its standard error is ours. Throws Error where it cannot be started.
  explicit PeerProcess(const std::vector<std::string>& command);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  /// The next line of its output. Throws Error where it ended instead.
  std::string read_line();
  void write_line(const std::string& line);

 private:
  std::string name_;
  pid_t pid_ = -1;
  std::FILE* to_ = nullptr;
  std::FILE* from_ = nullptr;
};

}  // namespace earmark::experiments
