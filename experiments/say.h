// How long work tells what it is at.
#pragma once

#include <functional>
#include <string>

namespace earmark::experiments {

/// Gets a line of text for each stage.
using Say = std::function<void(const std::string&)>;

}  // namespace earmark::experiments
