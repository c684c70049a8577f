#include "autograd/normalized_attention.h"

#include <utility>

#include "autograd/rank_statistics.h"
#include "autograd/reduction_groups.h"
#include "kernels/elementwise.h"

namespace earmark {
namespace {

/// Batch normalisation as x * slope + offset.
kernels::AttentionPrologue prologue_of(const kernels::BatchNormForward& norm, const Tensor& residual) {
  const kernels::AttentionPrologue p{empty_like(norm.gamma), empty_like(norm.gamma), residual};
  kernels::batch_norm_affine(norm, p.slope, p.offset);
  return p;
}

/// Gradients of gamma, beta and both attention weights; that of the sum inside max(0, .) is written to dsum.
std::vector<Tensor> parameter_gradients(const kernels::BatchNormForward& norm,
                                        const kernels::AttentionForward& attention, const ReductionGroups& groups,
                                        const Tensor& dout, const Tensor& dsum) {
  return groups.sum(norm.x.dim(0), [&](const RowRange& group) {
    const kernels::AttentionBackward b{.forward = of_group(attention, group),
                                       .dout = group.of(dout),
                                       .dx = group.of(dsum),
                                       .dw_spectral = empty_like(attention.w_spectral),
                                       .dw_temporal = empty_like(attention.w_temporal),
                                       .centre = norm.mean,
                                       .dx_sum = empty_like(norm.beta),
                                       .dx_product = empty_like(norm.gamma)};
    kernels::spectral_temporal_attention_backward(b);
    const Tensor& dgamma = b.dx_product;  // but for a factor: inverse_deviation * sum dz * (x - mean)
    kernels::mul(dgamma, norm.inverse_deviation, dgamma);
    return std::vector{dgamma, b.dx_sum, b.dw_spectral, b.dw_temporal};
  });
}

/// Gradients of x, gamma, beta, the residual and both attention weights.
std::vector<Tensor> backward(const kernels::BatchNormForward& norm, const kernels::AttentionForward& attention,
                             const RankStatistics* ranks, const ReductionGroups& groups, const Tensor& dout) {
  const Tensor dsum = empty_like(norm.x);
  const std::vector<Tensor> sums = parameter_gradients(norm, attention, groups, dout, dsum);
  const bool has_residual = static_cast<bool>(attention.prologue.residual);
  const Tensor dx = has_residual ? empty_like(norm.x) : dsum;  // in place where no one else wants dsum
  batch_norm_backward(
      {.forward = norm, .dout = dsum, .dx = dx, .dgamma = sums[0], .dbeta = sums[1], .sums_given = true}, ranks,
      groups);
  std::vector<Tensor> gradients{dx, sums[0], sums[1], sums[2], sums[3]};
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
  const ReductionGroups groups = ReductionGroups::current();
  batch_norm_statistics({.x = value,
                         .epsilon = epsilon,
                         .momentum = momentum,
                         .running_mean = running.mean,
                         .running_variance = running.variance,
                         .mean = norm.mean,
                         .inverse_deviation = norm.inverse_deviation},
                        ranks, groups);
  kernels::AttentionForward f = attention_forward(value, prologue_of(norm, residual ? residual.value() : Tensor()),
                                                  w_spectral, w_temporal, options);
  const Tensor out = std::exchange(f.out, {});  // not needed by backward
  std::vector<Variable> inputs{x, gamma, beta, w_spectral, w_temporal};
  if (residual) {
    inputs.push_back(residual);
  }
  return record("normalized_attention", out, inputs,
                [norm, f, ranks, groups](const Tensor& dout) { return backward(norm, f, ranks, groups, dout); });
}

}  // namespace earmark
