// The simulator's settings, and the failures that tests ask for.
#pragma once

#include "cudasim/control.h"

namespace cudasim {

/// Counts an allocation: whether it is one that fail_allocations() wants to fail.
bool next_allocation_fails();

}  // namespace cudasim
