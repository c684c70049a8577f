// Two hosts on one machine: network name spaces with a cable between them, each with an address of its own and nothing
// else but its loopback interface. They go with the process that made them.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>

namespace earmark::train {

class TwoHosts {
 public:
  TwoHosts();
  ~TwoHosts();
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  /// Why there are none: the system does not let us, or `ip` (package iproute2) is missing; empty where there are.
  const std::string& problem() const { return problem_; }
  /// A process on host 0 or 1, for testing::Surroundings.
  pid_t process(int host) const { return processes_[static_cast<std::size_t>(host)]; }
  static std::string address(int host) { return "10.77.0." + std::to_string(host + 1); }
  /// Pulls the cable out.
  void cut() const;

 private:
  std::array<pid_t, 2> processes_{};
  std::string problem_;
};

}  // namespace earmark::train
