// Several GPUs: which one the calling OS thread works on.
#pragma once

#include "cudasim/control.h"

namespace cudasim {

/// What cudaSetDevice chose on this OS thread.
inline constinit thread_local int current_device = 0;

inline bool is_device(int device) { return device >= 0 && device < config().devices; }

}  // namespace cudasim
