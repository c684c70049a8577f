#include "autograd/batch_norm.h"

#include "autograd/rank_statistics.h"
#include "autograd/reduction_groups.h"

namespace earmark {

Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, const RunningStatistics& running,
                    const BatchNormOptions& options) {
  kernels::BatchNormForward f{.x = x.value(),
                              .mean = running.mean,
                              .inverse_deviation = {},
                              .gamma = gamma.value(),
                              .beta = beta.value(),
                              .relu = options.relu,
                              .out = empty_like(x.value())};
  const RankStatistics* const ranks = options.training ? RankStatisticsScope::current() : nullptr;
  const ReductionGroups groups = ReductionGroups::current();
  if (options.training) {
    f.mean = empty_like(gamma.value());
    f.inverse_deviation = empty_like(gamma.value());
    batch_norm_statistics({.x = f.x,
                           .epsilon = options.epsilon,
                           .momentum = options.momentum,
                           .running_mean = running.mean,
                           .running_variance = running.variance,
                           .mean = f.mean,
                           .inverse_deviation = f.inverse_deviation},
                          ranks, groups);
  } else {
    f.inverse_deviation = empty_like(running.variance);
    kernels::batch_norm_inverse_deviation(running.variance, options.epsilon, f.inverse_deviation);
  }
  kernels::batch_norm_forward(f);
  const Tensor out = f.out;
  f.out = {};  // not needed by backward
  return record("batch_norm", out, {x, gamma, beta},
                [f, training = options.training, ranks, groups](const Tensor& dout) -> std::vector<Tensor> {
                  const kernels::BatchNormBackward b{.forward = f,
                                                     .training = training,
                                                     .dout = dout,
                                                     .dx = empty_like(f.x),
                                                     .dgamma = empty_like(f.gamma),
                                                     .dbeta = empty_like(f.beta)};
                  batch_norm_backward(b, ranks, groups);
                  return {b.dx, b.dgamma, b.dbeta};
                });
}

}  // namespace earmark
