// Direct convolution over pixel classes: forward, gradient of the input (the same walk with source and target swapped)
// and gradient of the weights. All in one thread-count independent order.
#pragma once

#include <vector>

#include "kernels/cpu/conv_panels.h"
#include "kernels/cpu/conv_plan.h"

namespace earmark::kernels::cpu {

/// For the forward pass: depth I, columns O.
template <class T>
Panels<T> pack_forward(const Tensor& weight);
/// For the gradient of the input: depth O, columns I, kernel positions from the last to the first.
template <class T>
Panels<T> pack_backward(const Tensor& weight);

/// target = walk(source): every pixel of every class of every sample. Overwrites the target.
template <class T>
struct Walk {
  const T* source;
  std::int64_t source_sample;  // elements per sample
  T* target;
  std::int64_t target_sample;
  std::int64_t samples;
  const T* bias;  // per column, or null
  const T* add;   // like target, or null
  bool relu;
  bool bf16_pairs = false;  // what elements of source and panels are (bf16_pairs.h); T is float
};
template <class T>
void run_walk(const Walk<T>& w, const std::vector<PixelClass>& classes, const Panels<T>& panels);

/// out[o][..columns) += sum over pixels of a[pixel.a + o] * b[pixel.b + ..], for o in [0, rows), `stride` apart.
template <class T>
void accumulate_outer(const T* a, const T* b, const std::vector<PixelPair>& pixels, std::int64_t rows,
                      std::int64_t columns, T* out, std::int64_t stride);

/// Sums `count` partials of `size` elements, in order.
template <class T>
void sum_partials(const T* partials, std::int64_t count, std::int64_t size, T* out);

/// Groups of samples, at most, whose gradients of the weights are partials: fixed, so that any number of threads gives
/// the same bits.
inline constexpr std::int64_t kGradientPartials = 16;

/// dweight (O, Kf, Kt, I), overwritten.
template <class T>
void weight_gradient(const ConvExtents& e, const T* x, const T* dout, T* dweight);

/// dbias (O), overwritten, from dout (rows, O).
template <class T>
void bias_gradient(const T* dout, std::int64_t rows, std::int64_t channels, T* dbias);

}  // namespace earmark::kernels::cpu
