#include "kernels/shared_memory.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>

#include "kernels/error.h"

namespace earmark {

namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t) &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "a futex is a plain number");

/// What a symbolic link says; empty: none is there.
std::string link_target(const char* path) {
  std::array<char, 128> text{};
  const ssize_t length = ::readlink(path, text.data(), text.size());
  return {text.data(), length > 0 ? static_cast<std::size_t>(length) : 0};
}

}  // namespace

SharedMemory::SharedMemory(const std::string& name, std::size_t bytes) : name_("/" + name) {
  const int descriptor = ::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  check(descriptor >= 0, "shared memory ", name_, ": ", std::strerror(errno));
  // Taken now: to find no room when it is written to would be the process' end.
  const int problem = ::posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
  void* const at =
      problem != 0 ? MAP_FAILED : ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  const int error = problem != 0 ? problem : errno;
  ::close(descriptor);
  if (at == MAP_FAILED) {
    complete();
    fail("no room for ", bytes, " bytes of shared memory ", name_, ": ", std::strerror(error));
  }
  bytes_ = {static_cast<std::byte*>(at), bytes};
}

SharedMemory::~SharedMemory() {
  complete();
  ::munmap(bytes_.data(), bytes_.size());
}

void SharedMemory::complete() {
  if (!completed_) {
    ::shm_unlink(name_.c_str());
    completed_ = true;
  }
}

std::string machine_identity() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string identity;
  file >> identity;
  for (const char* space : {"/proc/self/ns/pid", "/proc/self/ns/mnt", "/proc/self/ns/net", "/proc/self/ns/user"}) {
    identity.append(" ").append(link_target(space));
  }
  return identity;
}

void sleep_while(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::chrono::milliseconds time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const timespec limit{static_cast<time_t>(seconds.count()),
                       static_cast<long>(std::chrono::nanoseconds(time - seconds).count())};
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

void wake_sleepers(const std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

OtherProcess::OtherProcess(std::int64_t id)
    : descriptor_(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(id), 0))) {
  check(descriptor_ >= 0, "process ", id, ": ", std::strerror(errno));
}

OtherProcess::~OtherProcess() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

bool OtherProcess::ended() const {
  pollfd look{descriptor_, POLLIN, 0};
  return ::poll(&look, 1, 0) == 1;
}

}  // namespace earmark
