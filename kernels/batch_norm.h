// Batch normalisation over all but the channel axis (Ioffe & Szegedy 2015), optionally followed by ReLU:
//   y = gamma * (x - mean) * inverse_deviation + beta, inverse_deviation = 1 / sqrt(variance + epsilon)
// Training takes mean and variance of the batch and moves the running ones towards them (variance with n - 1, as
// PyTorch does); inference takes the running ones, or folds everything into the convolution before.
// Maps (..., C) are f32, f64 or bf16; vectors (C) have compute_type() of theirs, so f32 beside bf16.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct BatchNormStatistics {
  Tensor x;  // (..., C)
  double epsilon = 1e-5;
  double momentum = 0.1;     // running += momentum * (batch - running)
  Tensor running_mean;       // (C), updated, or none
  Tensor running_variance;   // (C), updated, or none
  Tensor mean;               // written: (C)
  Tensor inverse_deviation;  // written: (C)
};
/// Partial sums are taken per block of rows and merged in order (Chan et al. 1979): no cancellation, same bits for any
/// number of threads.
void batch_norm_statistics(const BatchNormStatistics& a);

/// The same in two halves, for a batch whose rows several ranks share. moments (2, C), f64, is written: each channel's
/// mean, then the sum of its squared differences from that.
void batch_norm_moments(const Tensor& x, const Tensor& moments);
/// The statistics of all rows from the moments (parts, 2, C) of parts with `rows` rows each, merged in their order. `x`
/// of `a` is not looked at.
void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a);

struct BatchNormForward {
  Tensor x;                  // (..., C)
  Tensor mean;               // (C)
  Tensor inverse_deviation;  // (C)
  Tensor gamma;              // (C)
  Tensor beta;               // (C)
  bool relu = false;
  Tensor out;  // written: (..., C)
};
void batch_norm_forward(const BatchNormForward& a);

/// The same map as y = x * slope + offset, for kernels that take it in: slope, offset (C) are written. `x` and `out` of
/// `a` are not looked at.
void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset);
/// out (C) = 1 / sqrt(variance (C) + epsilon): what running statistics normalise by.
void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out);

struct BatchNormBackward {
  BatchNormForward forward;
  bool training = true;     // false: mean and deviation are constants
  Tensor dout;              // (..., C)
  Tensor dx;                // written: (..., C)
  Tensor dgamma;            // written: (C)
  Tensor dbeta;             // written: (C)
  bool sums_given = false;  // dgamma and dbeta are read instead: dx alone is wanted
  std::int64_t rows = 0;    // over which those were summed, and the statistics taken; 0: those of x
};
void batch_norm_backward(const BatchNormBackward& a);
/// dgamma and dbeta of it alone: `dx` is not looked at.
void batch_norm_gradient_sums(const BatchNormBackward& a);

struct FoldBatchNorm {
  Tensor weight;            // (O, Kf, Kt, I)
  Tensor bias;              // (O), or none
  Tensor gamma;             // (O)
  Tensor beta;              // (O)
  Tensor running_mean;      // (O)
  Tensor running_variance;  // (O)
  double epsilon = 1e-5;
  Tensor folded_weight;  // written: (O, Kf, Kt, I)
  Tensor folded_bias;    // written: (O)
};
/// The convolution that equals `weight`, `bias` followed by batch normalisation with running statistics.
void fold_batch_norm(const FoldBatchNorm& a);

namespace cpu {
void batch_norm_statistics(const BatchNormStatistics& a);
void batch_norm_moments(const Tensor& x, const Tensor& moments);
void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a);
void batch_norm_forward(const BatchNormForward& a);
void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset);
void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out);
void batch_norm_backward(const BatchNormBackward& a);
void batch_norm_gradient_sums(const BatchNormBackward& a);
void fold_batch_norm(const FoldBatchNorm& a);
}  // namespace cpu
namespace cuda {
void batch_norm_statistics(const BatchNormStatistics& a);
void batch_norm_moments(const Tensor& x, const Tensor& moments);
void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a);
void batch_norm_forward(const BatchNormForward& a);
void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset);
void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out);
void batch_norm_backward(const BatchNormBackward& a);
void batch_norm_gradient_sums(const BatchNormBackward& a);
void fold_batch_norm(const FoldBatchNorm& a);
}  // namespace cuda

}  // namespace earmark::kernels
