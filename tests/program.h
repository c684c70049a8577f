// Programs of the project as a user meets them: started from bin/ with arguments, watched, stopped, given bad disks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/test_support.h"

namespace earmark::testing {

std::int64_t lines_of(const std::filesystem::path& file);

/// In a process of one thread: it is on the host of `process` (tests/train/two_hosts.h) from now on, and may do there
/// what that may. False where the system does not let it.
bool join_host_of(pid_t process);

/// Holds the main thread of a process where it is, whatever its other threads do, until it is killed: as if it hung
/// there. Why that cannot be done here; empty: it is. Its parent hears of its end when this process has waited for it.
std::string hang(pid_t process);

/// What the program is given beside its arguments.
struct Surroundings {
  std::filesystem::path input = "/dev/null";
  std::filesystem::path output{};               ///< Where standard output goes; empty: to Program::out().
  std::filesystem::path errors{};               ///< Where standard error goes; empty: to Program::err().
  std::optional<std::uint64_t> largest_file{};  ///< Bytes: no file may grow beyond.
  bool as_nobody = false;                       ///< A user who may write nowhere; needs root.
  pid_t host_of = 0;                            ///< A process on whose host it runs; 0: on this one.
};

/// A variable of the environment that programs started meanwhile see.
class EnvironmentScope {
 public:
  EnvironmentScope(const char* name, const char* value) : name_(name) {
    const char* before = std::getenv(name);
    if (before != nullptr) {
      before_ = before;
    }
    ::setenv(name, value, 1);
  }
  ~EnvironmentScope() {
    if (before_) {
      ::setenv(name_, before_->c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  EnvironmentScope(const EnvironmentScope&) = delete;
  EnvironmentScope& operator=(const EnvironmentScope&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

class Program {
 public:
  Program(const std::string& name, const std::vector<std::string>& arguments, const Surroundings& surroundings = {});
  /// Kills it where it still runs.
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void kill(int signal) const;
  pid_t process() const { return pid_; }
  /// The exit code, or minus the signal that ended it; 127: it could not be started.
  int wait();
  /// Waits until `condition` holds; false where the program ended before.
  bool wait_until(const std::function<bool()>& condition) const;
  std::string out() const { return bytes_of(folder_ / "out"); }
  std::string err() const { return bytes_of(folder_ / "err"); }

 private:
  bool runs() const;
  TemporaryFolder folder_;
  pid_t pid_ = -1;
};

/// A terminal, to be given to a program as one of its files. Who gives it reads it: what nobody reads stops the
/// program.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  std::filesystem::path path() const;
  /// All that has been written to it.
  const std::string& written();

 private:
  int screen_ = -1;
  int line_ = -1;  // held open: a terminal that nobody holds forgets what it was told
  std::string written_;
};

struct Ended {
  int code = 0;  ///< As of Program::wait().
  std::string out;
  std::string err;
  std::string all() const { return out + err; }
};
Ended run(const std::string& name, const std::vector<std::string>& arguments, const Surroundings& surroundings = {});

/// Why `program` cannot be run as another user here; empty where it can.
std::string reason_against_nobody(const std::string& program);

/// Runs `work` in a child that is nobody where this is root, and is as little allowed to write as the permissions say.
/// What it returns, or the sentence of what it throws; empty: all is well.
std::string problem_as_nobody(const std::function<std::string()>& work);

/// A disk of its own for the rest of the process, so small that it can be filled.
class SmallDisk {
 public:
  explicit SmallDisk(std::uint64_t bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  /// Why there is none: mounting needs root and a system that lets it; empty where there is.
  const std::string& problem() const { return problem_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  /// Takes all space but for `left` bytes, until free_space() is called.
  void fill(std::uint64_t left) const;
  void free_space() const;

 private:
  TemporaryFolder folder_;
  std::string problem_;
};

}  // namespace earmark::testing
