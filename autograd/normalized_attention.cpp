#include "autograd/normalized_attention.h"

#include <utility>

#include "autograd/rank_statistics.h"
#include "kernels/elementwise.h"

namespace earmark {
namespace {

/// Batch normalisation as x * slope + offset.
kernels::AttentionPrologue prologue_of(const kernels::BatchNormForward& norm, const Tensor& residual) {
  const kernels::AttentionPrologue p{empty_like(norm.gamma), empty_like(norm.gamma), residual};
  kernels::batch_norm_affine(norm, p.slope, p.offset);
  return p;
}

/// Gradients of x, gamma, beta, the residual and both attention weights.
std::vector<Tensor> backward(const kernels::BatchNormForward& norm, const kernels::AttentionForward& attention,
                             const RankStatistics* ranks, const Tensor& dout) {
  const Tensor dsum = empty_like(norm.x);
  const Tensor dgamma = empty_like(norm.gamma);
  const Tensor dbeta = empty_like(norm.beta);
  const kernels::AttentionBackward b{.forward = attention,
                                     .dout = dout,
                                     .dx = dsum,
                                     .dw_spectral = empty_like(attention.w_spectral),
                                     .dw_temporal = empty_like(attention.w_temporal),
                                     .centre = norm.mean,
                                     .dx_sum = dbeta,
                                     .dx_product = dgamma};
  kernels::spectral_temporal_attention_backward(b);
  kernels::mul(dgamma, norm.inverse_deviation, dgamma);  // dgamma = inverse_deviation * sum dz * (x - mean)
  const bool has_residual = static_cast<bool>(attention.prologue.residual);
  const Tensor dx = has_residual ? empty_like(norm.x) : dsum;  // in place where no one else wants dsum
  batch_norm_backward({.forward = norm, .dout = dsum, .dx = dx, .dgamma = dgamma, .dbeta = dbeta, .sums_given = true},
                      ranks);
  std::vector<Tensor> gradients{dx, dgamma, dbeta, b.dw_spectral, b.dw_temporal};
  if (has_residual) {
    gradients.push_back(dsum);
  }
  return gradients;
}

}  // namespace

Variable normalized_attention(const Variable& x, const Variable& gamma, const Variable& beta, const Variable& residual,
                              const RunningStatistics& running, const Variable& w_spectral, const Variable& w_temporal,
                              const AttentionOptions& options, double epsilon, double momentum) {
  const Tensor& value = x.value();
  check(value.shape().rank() == 4, "attention: x must be (N, F, T, C), got ", value.shape());
  const kernels::BatchNormForward norm{.x = value,
                                       .mean = empty_like(gamma.value()),
                                       .inverse_deviation = empty_like(gamma.value()),
                                       .gamma = gamma.value(),
                                       .beta = beta.value(),
                                       .out = {}};
  const RankStatistics* const ranks = RankStatisticsScope::current();
  batch_norm_statistics({.x = value,
                         .epsilon = epsilon,
                         .momentum = momentum,
                         .running_mean = running.mean,
                         .running_variance = running.variance,
                         .mean = norm.mean,
                         .inverse_deviation = norm.inverse_deviation},
                        ranks);
  kernels::AttentionForward f = attention_forward(value, prologue_of(norm, residual ? residual.value() : Tensor()),
                                                  w_spectral, w_temporal, options);
  const Tensor out = std::exchange(f.out, {});  // not needed by backward
  std::vector<Variable> inputs{x, gamma, beta, w_spectral, w_temporal};
  if (residual) {
    inputs.push_back(residual);
  }
  return record("normalized_attention", out, inputs,
                [norm, f, ranks](const Tensor& dout) { return backward(norm, f, ranks, dout); });
}

}  // namespace earmark
