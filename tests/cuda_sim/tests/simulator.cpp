#include "simulator.h"

#include <fstream>

namespace cudasim::testing {

std::string marked_line(const char* file, const std::string& mark) {
  const std::string path = file;  // relative to wherever the compiler ran
  const std::string name = path.substr(path.rfind('/') + 1);
  std::ifstream in(CUDASIM_TESTS_DIR "/" + name);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (line.ends_with("// " + mark)) {
      return name + ":" + std::to_string(number);
    }
  }
  ADD_FAILURE() << file << " has no line marked '" << mark << "'";
  return {};
}

}  // namespace cudasim::testing
