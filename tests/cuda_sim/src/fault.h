// Faults of the processor as reports: a kernel that touches what is not mapped, host code that touches device memory.
#pragma once

namespace cudasim {

/// The calling OS thread's faults are reported from now on. A signal handler runs on a stack of the thread's own.
void catch_faults_of_this_thread();

}  // namespace cudasim
