#include "train/rank_guard.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/error.h"

namespace earmark::train {
namespace {

constexpr pid_t kForget = 0;

/// In the child: what comes through `orders` until its other end is closed.
[[noreturn]] void keep_guard(int orders, std::vector<pid_t>& groups) {
  ::setpgid(0, 0);  // who kills the launcher's group does not mean this one
  ::prctl(PR_SET_NAME, "launch-guard");
  ::dup2(orders, STDIN_FILENO);
  ::close_range(STDOUT_FILENO, ~0U, 0);  // nobody waits for the end of what it could write
  pid_t group = 0;
  ssize_t size = 0;
  while ((size = ::read(STDIN_FILENO, &group, sizeof group)) == sizeof group || (size < 0 && errno == EINTR)) {
    if (size < 0) {
      continue;
    }
    if (group == kForget) {
      groups.clear();
    } else if (groups.size() < groups.capacity()) {
      groups.push_back(group);
    }
  }
  for (const pid_t left : groups) {
    ::kill(-left, SIGKILL);
  }
  ::_exit(0);
}

void send(const Descriptor& orders, pid_t order) {
  // Fails where the guard has been killed: then there is none.
  static_cast<void>(write_all(orders.get(), {reinterpret_cast<const char*>(&order), sizeof order}));
}

}  // namespace

RankGuard::RankGuard(std::size_t most) {
  std::vector<pid_t> groups;
  groups.reserve(most);
  Pipe pipe = make_pipe();
  process_ = ::fork();
  check(process_ >= 0, "no process can be started: ", std::strerror(errno));
  if (process_ == 0) {
    pipe.write.close();
    keep_guard(pipe.read.get(), groups);
  }
  orders_ = std::move(pipe.write);
}

RankGuard::~RankGuard() {
  forget();
  orders_.close();
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void RankGuard::watch_this() const { send(orders_, ::getpid()); }

void RankGuard::forget() const { send(orders_, kForget); }

}  // namespace earmark::train
