// What several test programs share.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace earmark::testing {

/// A fresh folder, removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// What the file holds; empty where it cannot be read.
std::string bytes_of(const std::filesystem::path& file);

/// The sentence of the Error that `work` throws; "no error" where it throws none.
std::string error_of(const std::function<void()>& work);

}  // namespace earmark::testing
