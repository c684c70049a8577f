#include "tests/test_support.h"

#include <cstdlib>

#include "kernels/error.h"

namespace earmark::testing {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "earmark-test-XXXXXX").string();
  check(mkdtemp(pattern.data()) != nullptr, "cannot make a temporary folder like ", pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace earmark::testing
