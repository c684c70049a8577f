// Layer normalisation (Ba, Kiros & Hinton 2016, arXiv 1607.06450) over all of a sample, optionally of ELU(x):
//   z = x, or ELU(x);  y = gamma * (z - mean) * inverse_deviation + beta, inverse_deviation = 1 / sqrt(variance +
//   epsilon)
// with mean and variance (divided by the count) over the sample's own elements, and a gamma and a beta for each of
// them: what Keras' LayerNormalization(axis=(1, 2, 3)) does, whose epsilon is 1e-3, and so the NAFP network (Chang et
// al., ICASSP 2021, arXiv 2010.11910), where ELU comes before it.
// Maps (N, ...) are f32, f64 or bf16; gamma, beta (...) and the statistics (N) have compute_type() of theirs.
// Floor: forward reads x twice and writes once, 12 bytes a float; backward reads x and dout twice and writes dx, 20.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct LayerNormForward {
  Tensor x;                  // (N, ...)
  Tensor gamma;              // (...)
  Tensor beta;               // (...)
  bool elu = false;          // normalises ELU(x): x where x > 0, else exp(x) - 1
  double epsilon = 1e-3;     // Keras' default
  Tensor out;                // written: (N, ...); may be x where no gradient is wanted
  Tensor mean;               // written: (N)
  Tensor inverse_deviation;  // written: (N)
};
/// Partial sums are taken per block of a sample and merged in order: no cancellation, same bits for any number of
/// threads.
void layer_norm_forward(const LayerNormForward& a);

/// With g = dout * gamma and n = (z - mean) * inverse_deviation, means over a sample's elements:
///   dz = inverse_deviation * (g - mean(g) - n * mean(g * n)), dx = dz, or dz * ELU'(x)
///   dgamma = sum over samples of dout * n, dbeta = sum over samples of dout
struct LayerNormBackward {
  LayerNormForward forward;  // as left by layer_norm_forward; `out` is not looked at
  Tensor dout;               // (N, ...)
  Tensor dx;                 // written: (N, ...); may be dout
  Tensor dgamma;             // written: (...)
  Tensor dbeta;              // written: (...)
};
void layer_norm_backward(const LayerNormBackward& a);

namespace cpu {
void layer_norm_forward(const LayerNormForward& a);
void layer_norm_backward(const LayerNormBackward& a);
}  // namespace cpu
namespace cuda {
void layer_norm_forward(const LayerNormForward& a);
void layer_norm_backward(const LayerNormBackward& a);
}  // namespace cuda

}  // namespace earmark::kernels
