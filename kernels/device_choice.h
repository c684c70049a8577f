// Which device a program computes on, and what it says about it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "kernels/device.h"

namespace earmark {

/// As parse_device(); where "auto" becomes the CPU, `why_cpu` becomes a sentence that says why. A GPU without an index
/// is that of process `local_rank` of this machine: as many as there are take one each.
Device choose_device(std::string_view text, std::string& why_cpu, int local_rank = 0);

/// Whether this build can compute on GPUs, where there are any.
bool has_cuda_backend();

/// How many GPUs this build can compute on here: their indices are below that.
int gpu_count();

/// What a user knows the device as: "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string describe(Device device);

/// Bytes of a GPU's memory that can be had now. Throws Error for the CPU, whose memory is the system's to give.
std::size_t free_memory(Device device);

}  // namespace earmark
