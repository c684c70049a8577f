#include "kernels/error.h"

namespace earmark {

void throw_error(Place where, const std::string& message) { throw Error(where, message); }

}  // namespace earmark
