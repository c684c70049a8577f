// Ranges that profilers show. Callable from anywhere; through kernels/trace.h, which a build without CUDA has too.
#pragma once

namespace earmark::kernels::cuda {

void trace_begin(const char* name) noexcept;
void trace_end() noexcept;

}  // namespace earmark::kernels::cuda
