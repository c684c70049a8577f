#include "kernels/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/error.h"
#include "kernels/life_signs.h"

namespace earmark {

namespace {

constexpr std::chrono::milliseconds kBetweenQuestions{50};

}  // namespace

FileLock::FileLock(const std::filesystem::path& file, const std::function<void()>& held)
    : descriptor_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  check(descriptor_ >= 0, file.string(), ": ", std::strerror(errno));
  try {
    bool told = false;
    while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {  // ranks that wait for this one see that it is not dead
      check(errno == EWOULDBLOCK || errno == EINTR, file.string(), ": cannot be locked: ", std::strerror(errno));
      if (errno == EWOULDBLOCK && !told) {
        told = true;
        held();
      }
      std::this_thread::sleep_for(kBetweenQuestions);
      show_life();
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace earmark
