// cudasim wrapper: real toolkit header for types + host API declarations, then CPU definitions of the device language.
#pragma once
#include_next <cuda_runtime.h>

#include "cudasim/device.h"
