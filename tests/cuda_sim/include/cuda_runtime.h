// The toolkit's own header for types and host functions, then the device language for the C++ compiler.
#pragma once
#pragma GCC system_header  // for #include_next
#include_next <cuda_runtime.h>

#include "cudasim/device.h"
