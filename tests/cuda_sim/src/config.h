// The simulator's settings, and the failures that tests ask for.
#pragma once

#include <optional>

#include "cudasim/control.h"

namespace cudasim {

/// Counts an allocation: whether it is one that fail_allocations() wants to fail.
bool next_allocation_fails();

/// Counts a launch: how fail_launch() wants it to fail, if at all.
std::optional<LaunchFailure> next_launch_failure();

}  // namespace cudasim
