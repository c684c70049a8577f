// The simulator's settings, and the failures that tests ask for.
#pragma once

#include <optional>
#include <string>

#include "cudasim/control.h"

namespace cudasim {

/// Counts an allocation: whether it is one that fail_allocations() wants to fail.
bool next_allocation_fails();

/// The same for what the other functions of control.h want to fail.
bool next_host_allocation_fails();
bool next_library_call_fails();
bool next_creation_fails();

/// The machine's number of a GPU that the program knows as `device`: CUDA_VISIBLE_DEVICES may have chosen others.
int gpu_of_machine(int device);

/// Counts a plan of cuDNN's.
void count_plan();

/// Counts a launch of `kernel`: how fail_launch() wants it to fail, if at all.
std::optional<LaunchFailure> next_launch_failure(const std::string& kernel);

}  // namespace cudasim
