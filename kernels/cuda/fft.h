// Batches of real Fourier transforms through cuFFT, on the current stream. Unscaled both ways, as kernels/fft.h. Plans
// are kept for each GPU, size and batch, and shared by all threads: each call has work memory of its own from the pool,
// so that streams do not wait for one another.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

/// How many of `rest` transforms of size n to do next: a power of two, so that there are few plans, and so few that
/// their samples and bins (8 MiB each) stay in the L2 cache between kernels. It may exceed `rest`: the caller pads.
std::int64_t fft_batch(std::int64_t n, std::int64_t rest);

/// time (batch, n) f32 to bins (batch, n / 2 + 1, 2) f32. Throws Error for sizes that cuFFT refuses.
void real_fft(const Tensor& time, const Tensor& bins);
/// The way back. `bins` may be overwritten; imaginary parts of the first and last bin are not looked at.
void inverse_real_fft(const Tensor& bins, const Tensor& time);

}  // namespace earmark::kernels::cuda
