#include "kernels/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "kernels/error.h"
#include "kernels/life_signs.h"

namespace earmark {
namespace {

constexpr std::string_view kPrefix = ".earmark-";
constexpr std::string_view kSuffix = ".tmp";
constexpr std::size_t kWrittenAtOnce = std::size_t{1} << 26U;  // then a sign of life, where disks are slow

// Unique among threads and processes, and recognisable as a leftover.
std::filesystem::path temporary_name(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
  return target.parent_path() / str(kPrefix, ::getpid(), "-", counter++, kSuffix);
}

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, int error) {
  fail("cannot write ", path.string(), ": ", std::strerror(error));
}

// Makes a rename in `folder` durable. File systems that cannot flush a folder are left alone.
void flush_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0) {
    ::fsync(descriptor);
    ::close(descriptor);
  }
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)), temporary_(temporary_name(target_)) {
  descriptor_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail_with_errno(target_, errno);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
  }
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_at(size_, bytes);
  size_ += bytes.size();
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  check(descriptor_ >= 0, target_.string(), ": written to after commit");
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), kWrittenAtOnce);
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), size, static_cast<off_t>(offset));
    show_life();
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      fail_with_errno(target_, written < 0 ? errno : ENOSPC);
    }
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void AtomicFile::commit() {
  check(descriptor_ >= 0, target_.string(), ": committed twice");
  if (::fsync(descriptor_) != 0) {
    fail_with_errno(target_, errno);  // The destructor removes the temporary.
  }
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
    fail_with_errno(target_, errno);
  }
  ::close(std::exchange(descriptor_, -1));
  flush_folder(target_.parent_path());
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail_with_errno(to, errno);
  }
  flush_folder(to.parent_path());
}

bool is_unfinished_file(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(kPrefix) && name.ends_with(kSuffix);
}

void remove_unfinished_files(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (is_unfinished_file(entry.path())) {
      std::error_code gone;  // Its process was still there and has finished it.
      std::filesystem::remove(entry.path(), gone);
    }
  }
}

void write_file_atomically(const std::filesystem::path& path, const std::function<void(AtomicFile&)>& write) {
  AtomicFile file(path);
  write(file);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace earmark
