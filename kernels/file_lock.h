// The exclusive right to change what lies beside a lock file. The system takes it back when the process ends, however
// it ends.
#pragma once

#include <filesystem>
#include <functional>

namespace earmark {

class FileLock {
 public:
  /// Makes the file where it is missing, and locks it. Where another process holds the lock, `held` is called first:
  /// it may throw; else this waits. Throws Error where the file cannot be made.
  FileLock(const std::filesystem::path& file, const std::function<void()>& held);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace earmark
