#include "train/rank_process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "kernels/error.h"
#include "train/signal_queue.h"

namespace earmark::train {
namespace {

constexpr int kNotStartedCode = 127;
/// What this process, or the shell that started it in the background, ignores is not for the ranks to ignore.
constexpr std::array kUsual{SIGPIPE, SIGXFSZ, SIGINT, SIGQUIT};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (const std::string& text : texts) {
    all.push_back(const_cast<char*>(text.c_str()));
  }
  all.push_back(nullptr);
  return all;
}

/// All that a child needs, made before it is: between fork and exec it may not allocate.
struct RankStart {
  const char* file;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  cpu_set_t processors;
  bool has_processors;
  sigset_t mask;
  pid_t parent;
  const RankGuard* guard;
  int out;
  int err;
  int failure;  ///< Where errno goes when it cannot be executed.
};

/// In the child.
[[noreturn]] void become(const RankStart& start) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != start.parent) {  // it ended before it could be asked for
    ::_exit(kNotStartedCode);
  }
  start.guard->watch_this();  // before it can start anything
  if (start.has_processors) {
    ::sched_setaffinity(0, sizeof start.processors, &start.processors);
  }
  const int in = ::open("/dev/null", O_RDONLY);
  if (in >= 0 && ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(start.out, STDOUT_FILENO) >= 0 &&
      ::dup2(start.err, STDERR_FILENO) >= 0) {
    ::close(in);
    for (const int signal : kUsual) {
      std::signal(signal, SIG_DFL);
    }
    ::sigprocmask(SIG_SETMASK, &start.mask, nullptr);
    ::execve(start.file, start.arguments.data(), start.environment.data());
  }
  const int why = errno;
  const ssize_t told = ::write(start.failure, &why, sizeof why);
  ::_exit(told == sizeof why ? kNotStartedCode : 1);
}

/// Whether the process of a folder of /proc belongs to the group and runs. One that has ended is there for as long as
/// nobody asks what became of it, in some containers for ever.
bool runs_in(pid_t group, const std::filesystem::path& folder) {
  std::ifstream file(folder / "stat");
  std::string text;
  std::getline(file, text, '\0');
  const std::size_t name_end = text.rfind(')');  // the name may have parentheses too
  std::istringstream fields(name_end == std::string::npos ? "" : text.substr(name_end + 1));
  char state = 'X';
  pid_t parent = 0;
  pid_t its_group = 0;
  fields >> state >> parent >> its_group;
  return its_group == group && state != 'Z' && state != 'X';
}

bool any_runs_in(pid_t group) {
  std::error_code ended;
  for (std::filesystem::directory_iterator at("/proc", ended), end; !ended && at != end; at.increment(ended)) {
    if (runs_in(group, at->path())) {
      return true;
    }
  }
  return static_cast<bool>(ended);  // who cannot look must believe the system
}

RankStart prepare(const RankCommand& command, const sigset_t& mask) {
  RankStart start{};
  start.file = command.file.c_str();
  start.arguments = pointers(command.arguments);
  start.environment = pointers(command.environment);
  start.has_processors = !command.processors.empty();
  CPU_ZERO(&start.processors);
  for (const int processor : command.processors) {
    CPU_SET(static_cast<std::size_t>(processor), &start.processors);
  }
  start.mask = mask;
  start.parent = ::getpid();
  return start;
}

}  // namespace

std::string describe(const RankEnd& end) {
  if (!end.by_signal) {
    return str("exit code ", end.number);
  }
  return str("killed by ", signal_name(end.number),
             end.number == SIGKILL ? ", as the system does where memory runs out" : "");
}

RankProcess::RankProcess(const RankCommand& command, const sigset_t& mask, const RankGuard& guard) {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  Pipe failure = make_pipe();
  RankStart start = prepare(command, mask);
  start.guard = &guard;
  start.out = out.write.get();
  start.err = err.write.get();
  start.failure = failure.write.get();
  group_ = ::fork();
  check(group_ >= 0, command.file, ": no process can be started: ", std::strerror(errno));
  if (group_ == 0) {
    become(start);
  }
  failure.write.close();
  int why = 0;
  ssize_t told = 0;
  do {  // until it is executed: its end of the pipe is closed then
    told = ::read(failure.read.get(), &why, sizeof why);
  } while (told < 0 && errno == EINTR);
  if (told == sizeof why) {
    ::waitpid(group_, nullptr, 0);
    fail(command.file, ": cannot be executed: ", std::strerror(why));
  }
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

RankProcess::RankProcess(RankProcess&& other) noexcept
    : group_(std::exchange(other.group_, -1)),
      reaped_(other.reaped_),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)) {}

RankProcess::~RankProcess() {
  if (group_ > 0 && !reaped_) {  // the number of one that is reaped may be another's
    signal(SIGKILL);
    reap();
  }
}

void RankProcess::signal(int signal) const { ::kill(-group_, signal); }

std::optional<RankEnd> RankProcess::end() const {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(group_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
    return std::nullopt;
  }
  return RankEnd{info.si_code != CLD_EXITED, info.si_status};
}

void RankProcess::reap() {
  while (!reaped_ && ::waitpid(group_, nullptr, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
}

bool RankProcess::left_something() const { return ::kill(-group_, 0) == 0 && any_runs_in(group_); }

}  // namespace earmark::train
