#include "kernels/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/error.h"

namespace earmark {

FileLock::FileLock(const std::filesystem::path& file, const std::function<void()>& held)
    : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  check(descriptor_ >= 0, file.string(), ": ", std::strerror(errno));
  try {
    bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno == EWOULDBLOCK) {
      held();
    }
    while (!locked) {
      locked = ::flock(descriptor_, LOCK_EX) == 0;
      check(locked || errno == EINTR, file.string(), ": cannot be locked: ", std::strerror(errno));
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace earmark
