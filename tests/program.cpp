#include "tests/program.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <system_error>
#include <thread>

#include "kernels/error.h"

namespace earmark::testing {
namespace {

constexpr uid_t kNobody = 65534;
constexpr int kNotStarted = 127;

/// The groups and rights of root go as well.
bool become_nobody() { return ::setgroups(0, nullptr) == 0 && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0; }

/// What `kind` of name space a process has, "net:[4026531840]".
std::string name_space(const std::string& process, const char* kind) {
  std::error_code none;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/" + kind, none).string();
}

/// In the child: never returns. The program was opened before, so that who may do nothing can still start it.
[[noreturn]] void start(int program, char** arguments, const std::string& out, const std::string& err,
                        const Surroundings& surroundings) {
  const int in = ::open(surroundings.input.c_str(), O_RDONLY);
  const int to = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0644);
  const int errors = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY, 0644);
  bool ready = in >= 0 && to >= 0 && errors >= 0 && ::dup2(in, 0) >= 0 && ::dup2(to, 1) >= 0 && ::dup2(errors, 2) >= 0;
  if (surroundings.largest_file) {
    const rlimit limit{*surroundings.largest_file, *surroundings.largest_file};
    ready = ready && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
  }
  if (surroundings.as_nobody) {
    ready = ready && become_nobody();
  }
  if (surroundings.host_of != 0) {
    ready = ready && join_host_of(surroundings.host_of);
  }
  if (ready) {
    ::fexecve(program, arguments, environ);
  }
  ::_exit(kNotStarted);
}

std::string problem_of(const std::function<std::string()>& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

bool join_host_of(pid_t process) {
  for (const char* kind : {"user", "net"}) {
    if (name_space(std::to_string(process), kind) == name_space("self", kind)) {
      continue;
    }
    const int space = ::open(("/proc/" + std::to_string(process) + "/ns/" + kind).c_str(), O_RDONLY | O_CLOEXEC);
    if (space < 0 || ::setns(space, 0) != 0) {
      return false;
    }
    ::close(space);
  }
  return true;
}

// Debuggers stop threads one by one.
std::string hang(pid_t process) {
  int status = 0;
  const bool held = ::ptrace(PTRACE_SEIZE, process, 0, 0) == 0 && ::ptrace(PTRACE_INTERRUPT, process, 0, 0) == 0 &&
                    ::waitpid(process, &status, __WALL) == process && WIFSTOPPED(status);
  return held ? "" : str("no thread can be held here: ", std::strerror(errno));
}

std::int64_t lines_of(const std::filesystem::path& file) {
  const std::string text = bytes_of(file);
  return std::count(text.begin(), text.end(), '\n');
}

Program::Program(const std::string& name, const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  const std::string path = std::string(EARMARK_BINARY_DIR) + "/bin/" + name;
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  const std::string out = surroundings.output.empty() ? (folder_ / "out").string() : surroundings.output.string();
  const std::string err = surroundings.errors.empty() ? (folder_ / "err").string() : surroundings.errors.string();
  const int program = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(program >= 0, path, ": ", std::strerror(errno));
  pid_ = ::fork();
  if (pid_ == 0) {
    start(program, argv.data(), out, err, surroundings);
  }
  ::close(program);
}

Program::~Program() {
  if (pid_ > 0) {
    kill(SIGKILL);
    wait();
  }
}

void Program::kill(int signal) const {
  if (pid_ > 0) {
    ::kill(pid_, signal);
  }
}

int Program::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool Program::runs() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

bool Program::wait_until(const std::function<bool()>& condition) const {
  while (!condition()) {
    if (!runs()) {
      return condition();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Terminal::Terminal() : screen_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)) {
  check(screen_ >= 0 && ::grantpt(screen_) == 0 && ::unlockpt(screen_) == 0, "no terminal: ", std::strerror(errno));
  line_ = ::open(path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
  check(line_ >= 0, path().string(), ": ", std::strerror(errno));
}

Terminal::~Terminal() {
  ::close(line_);
  ::close(screen_);
}

std::filesystem::path Terminal::path() const {
  std::array<char, 128> name{};
  check(::ptsname_r(screen_, name.data(), name.size()) == 0, "a terminal without a name: ", std::strerror(errno));
  return name.data();
}

const std::string& Terminal::written() {
  std::array<char, 4096> part{};
  for (ssize_t got = 0; (got = ::read(screen_, part.data(), part.size())) > 0;) {
    written_.append(part.data(), static_cast<std::size_t>(got));
  }
  return written_;
}

Ended run(const std::string& name, const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  Program program(name, arguments, surroundings);
  const int code = program.wait();
  return {code, program.out(), program.err()};
}

std::string reason_against_nobody(const std::string& program) {
  if (::geteuid() != 0) {
    return "only root can start a program as another user";
  }
  return run(program, {"--help"}, {.as_nobody = true}).code == 0 ? "" : "nobody may not run the programs here";
}

std::string problem_as_nobody(const std::function<std::string()>& work) {
  std::array<int, 2> answer{};
  check(::pipe(answer.data()) == 0, "no pipe: ", std::strerror(errno));
  const pid_t child = ::fork();
  if (child == 0) {
    const bool ready = ::geteuid() != 0 || become_nobody();
    const std::string problem = ready ? problem_of(work) : "root cannot become nobody";
    const ssize_t told = ::write(answer[1], problem.data(), problem.size());
    ::_exit(told == static_cast<ssize_t>(problem.size()) ? 0 : 1);
  }
  ::close(answer[1]);
  std::string problem(4096, ' ');
  problem.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(answer[0], problem.data(), problem.size()))));
  ::close(answer[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 ? problem : "the child ended badly: " + problem;
}

SmallDisk::SmallDisk(std::uint64_t bytes) {
  // A name space of its own: whatever happens, the disk goes with the process.
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, str("size=", bytes).c_str()) != 0) {
    problem_ = str("no disk of one's own: ", std::strerror(errno));
  }
}

SmallDisk::~SmallDisk() {
  if (problem_.empty()) {
    ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
}

void SmallDisk::fill(std::uint64_t left) const {
  const std::uint64_t free = std::filesystem::space(folder_.path()).available;
  check(free >= left, "the disk has only ", free, " bytes left");
  std::ofstream(folder_ / "filler", std::ios::binary) << std::string(free - left, 'x');
}

void SmallDisk::free_space() const { std::filesystem::remove(folder_ / "filler"); }

}  // namespace earmark::testing
