#include "train/program_path.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <system_error>

#include "kernels/error.h"

namespace earmark::train {

namespace fs = std::filesystem;

namespace {

bool can_be_executed(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
}

}  // namespace

fs::path program_path(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    check(fs::exists(name), name, ": no such program");
    check(can_be_executed(name), name, ": not a program that may be executed");
    return name;
  }
  std::error_code ignored;
  const fs::path own_folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!name.empty() && can_be_executed(own_folder / name)) {
    return own_folder / name;
  }
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody changes it
  std::istringstream folders(path == nullptr ? "/bin:/usr/bin" : path);
  for (std::string folder; !name.empty() && std::getline(folders, folder, ':');) {
    const fs::path file = fs::path(folder.empty() ? "." : folder) / name;
    if (can_be_executed(file)) {
      return file;
    }
  }
  fail("'", name, "': no such program beside launch (in ", own_folder.string(), ") nor in PATH");
}

}  // namespace earmark::train
