#include "search/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "data/audio_files.h"
#include "kernels/error.h"

namespace earmark::search {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const std::string name = data::printable(path.string());
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(descriptor >= 0, name, ": ", std::strerror(errno));
  struct stat status {};
  const bool known = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(known ? status.st_size : 0);
  void* memory = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0) : MAP_FAILED;
  ::close(descriptor);
  check(known, name, ": not a regular file");
  check(size > 0, name, ": the file is empty");
  check(memory != MAP_FAILED, name, ": cannot be mapped into memory: ", std::strerror(errno));
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->bytes_ = {static_cast<const std::byte*>(memory), size};
  return file;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    // munmap takes what mmap gave, which was never written through.
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
}

}  // namespace earmark::search
