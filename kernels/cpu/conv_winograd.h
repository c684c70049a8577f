// 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3) (Lavin & Gray, CVPR 2016): a tile of 2 x 2 outputs from 4 x 4
// inputs with 16 products per pair of channels instead of 36.
//   V = B' d B of the input, U = G g G' of the weights, M = sum over channels of V * U (16 matrix products), out = A' M
//   A
// The gradient of the input is the same with flipped, transposed weights; that of the weights is
//   dg = G' (sum over tiles of (A dout A') * V) G.
// Tiles are handled in chunks whose V and M stay in L2. Floor: 16 * tiles * I * O multiply-adds.
#pragma once

#include <cstdint>

#include "kernels/cpu/conv_direct.h"

namespace earmark::kernels::cpu {

/// Whether this convolution qualifies and gains by it: a function of channels and extents, never of the batch, so that
/// a segment's result does not depend on its company.
bool winograd_pays(const ConvExtents& e);
/// The same for the gradient of the weights.
bool winograd_pays_for_weights(const ConvExtents& e);

/// The 16 transformed weight matrices, packed.
template <class T>
Panels<T> winograd_forward_panels(const Tensor& weight);
template <class T>
Panels<T> winograd_backward_panels(const Tensor& weight);

/// target (N, F, T, columns) = convolution of source (N, F, T, depth); depth and columns are the panels'.
template <class T>
struct WinogradMap {
  const T* source;
  T* target;
  std::int64_t n, f, t;
  const T* bias;  // per column, or null
  const T* add;   // like target, or null
  bool relu;
};
template <class T>
void winograd_convolve(const WinogradMap<T>& map, const Panels<T>& panels);

/// dweight (O, 3, 3, I), overwritten.
template <class T>
void winograd_weight_gradient(const ConvExtents& e, const T* x, const T* dout, T* dweight);

}  // namespace earmark::kernels::cpu
