#include "tests/train/two_hosts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "kernels/error.h"
#include "tests/program.h"

namespace earmark::train {
namespace {

/// Ends, at the latest, with who made it.
void end_with_parent(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {
    ::_exit(1);
  }
}

/// What a shell command printed where it failed; empty: it did not.
std::string shell_problem(const std::string& command) {
  std::FILE* const output = ::popen((command + " 2>&1").c_str(), "r");
  if (output == nullptr) {
    return "no shell";
  }
  std::string text;
  for (int c = 0; (c = std::fgetc(output)) != EOF;) {
    text.push_back(static_cast<char>(c));
  }
  return ::pclose(output) == 0 ? "" : command + ": " + text;
}

/// A name space of networks of one's own: as root of a name space of users of one's own, or as the system's root.
std::string problem_of_new_network() {
  const uid_t user = ::geteuid();
  const gid_t group = ::getegid();
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    return ::unshare(CLONE_NEWNET) == 0 ? "" : str("no network of one's own: ", std::strerror(errno));
  }
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream users("/proc/self/uid_map");
  users << "0 " << user << " 1" << std::flush;
  std::ofstream groups("/proc/self/gid_map");
  groups << "0 " << group << " 1" << std::flush;
  return users && groups ? "" : "no users of one's own";
}

std::string interface_of(int host) { return str("ear", host); }

/// On the host itself, once its end of the cable is there.
std::string problem_of_setting_up(int host) {
  return shell_problem(str("ip link set lo up && ip address add ", TwoHosts::address(host), "/24 dev ",
                           interface_of(host), " && ip link set ", interface_of(host), " up"));
}

struct Talk {
  int read = -1;
  int write = -1;
};
Talk new_talk() {
  std::array<int, 2> ends{};
  check(::pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe: ", std::strerror(errno));
  return {ends[0], ends[1]};
}
void say(const Talk& talk, std::string text) {
  text.resize(1000);
  static_cast<void>(!::write(talk.write, text.data(), text.size()));
}
std::string hear(const Talk& talk) {
  std::string text(1000, '\0');
  const ssize_t size = ::read(talk.read, text.data(), text.size());
  return size <= 0 ? "a host has gone" : std::string(text.c_str());
}

/// In a child of host 0: host 1, which has its own networks, and is set up when it is told that the cable is there.
[[noreturn]] void be_second_host(const Talk& to_it, const Talk& from_it) {
  say(from_it, ::unshare(CLONE_NEWNET) == 0 ? "" : str("no second network: ", std::strerror(errno)));
  hear(to_it);
  say(from_it, problem_of_setting_up(1));
  while (true) {
    ::pause();
  }
}

/// In a child: host 0. The first it says is what is wrong, the second is host 1's process.
[[noreturn]] void be_first_host(const Talk& answer, pid_t parent) {
  std::string problem = problem_of_new_network();
  end_with_parent(parent);  // the system has forgotten that with the new user
  const Talk to_second = new_talk();
  const Talk from_second = new_talk();
  const pid_t self = ::getpid();
  pid_t second = 0;
  if (problem.empty()) {
    second = ::fork();
    if (second == 0) {
      end_with_parent(self);
      be_second_host(to_second, from_second);
    }
    problem = second < 0 ? "no second host" : hear(from_second);
  }
  if (problem.empty()) {
    problem = shell_problem(
        str("ip link add ", interface_of(0), " type veth peer name ", interface_of(1), " netns ", second));
  }
  if (problem.empty()) {
    say(to_second, "");
    problem = hear(from_second);
  }
  say(answer, problem.empty() ? problem_of_setting_up(0) : problem);
  say(answer, std::to_string(second));
  while (true) {
    ::pause();
  }
}

}  // namespace

TwoHosts::TwoHosts() {
  const Talk answer = new_talk();
  const pid_t self = ::getpid();
  processes_[0] = ::fork();
  if (processes_[0] == 0) {
    end_with_parent(self);
    be_first_host(answer, self);
  }
  problem_ = hear(answer);
  processes_[1] = std::stoi(hear(answer));
  ::close(answer.read);
  ::close(answer.write);
}

TwoHosts::~TwoHosts() {
  ::kill(processes_[0], SIGKILL);
  ::waitpid(processes_[0], nullptr, 0);
}

void TwoHosts::cut() const {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool cut =
        testing::join_host_of(process(0)) && shell_problem(str("ip link set ", interface_of(0), " down")).empty();
    ::_exit(cut ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  check(status == 0, "the cable cannot be pulled out");
}

}  // namespace earmark::train
