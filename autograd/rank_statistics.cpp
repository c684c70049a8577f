#include "autograd/rank_statistics.h"

#include "autograd/repeated_forward.h"

namespace earmark {

namespace {

thread_local const RankStatistics* statistics_of_ranks = nullptr;

}  // namespace

RankStatisticsScope::RankStatisticsScope(const RankStatistics* ranks) : before_(statistics_of_ranks) {
  statistics_of_ranks = ranks;
}
RankStatisticsScope::~RankStatisticsScope() { statistics_of_ranks = before_; }
const RankStatistics* RankStatisticsScope::current() { return statistics_of_ranks; }

void batch_norm_statistics(const kernels::BatchNormStatistics& given, const RankStatistics* ranks,
                           const ReductionGroups& groups) {
  kernels::BatchNormStatistics a = given;
  if (RepeatedForwardScope::active()) {  // the first pass has moved them
    a.running_mean = a.running_variance = {};
  }
  if (ranks == nullptr && !groups.on()) {
    return kernels::batch_norm_statistics(a);
  }
  check(a.x.shape().rank() >= 1, "batch norm: x must have a channel axis");
  const std::int64_t channels = a.x.dim(-1);
  const Tensor own({groups.own(), 2, channels}, DType::f64, a.x.device());
  for (std::int64_t group = 0; group < groups.own(); ++group) {
    kernels::batch_norm_moments(groups.rows_of(group, a.x.dim(0)).of(a.x),
                                own.slice(group, group + 1).reshape({2, channels}));
  }
  Tensor all = own;
  if (ranks != nullptr) {
    all = Tensor({ranks->ranks() * groups.own(), 2, channels}, DType::f64, a.x.device());
    ranks->gather(own, all);
  }
  kernels::batch_norm_merge(all, a.x.numel() / channels / groups.own(), a);
}

namespace {

/// dgamma and dbeta of the own rows.
void gradient_sums(const kernels::BatchNormBackward& b, const ReductionGroups& groups) {
  if (!groups.on()) {
    return kernels::batch_norm_gradient_sums(b);
  }
  const std::vector<Tensor> sums = groups.sum(b.dout.dim(0), [&](const RowRange& group) {
    kernels::BatchNormBackward part = b;
    part.forward.x = group.of(b.forward.x);
    part.dout = group.of(b.dout);
    part.dgamma = empty_like(b.dgamma);
    part.dbeta = empty_like(b.dbeta);
    kernels::batch_norm_gradient_sums(part);
    return std::vector{part.dgamma, part.dbeta};
  });
  b.dgamma.copy_from(sums[0]);
  b.dbeta.copy_from(sums[1]);
}

/// What dx takes: the sums over all ranks' rows, and how many those are. Or the mean of the ranks' sums beside the rows
/// of one, which is the same but for rounding.
void share_sums(kernels::BatchNormBackward& b, const RankStatistics& ranks, const ReductionGroups& groups) {
  b.dgamma = b.dgamma.clone();
  b.dbeta = b.dbeta.clone();
  if (groups.on()) {
    ranks.add_up(b.dgamma, b.dbeta);
    b.rows = ranks.ranks() * (b.forward.x.numel() / b.forward.x.dim(-1));
  } else {
    ranks.average(b.dgamma, b.dbeta);
  }
}

}  // namespace

void batch_norm_backward(const kernels::BatchNormBackward& b, const RankStatistics* ranks,
                         const ReductionGroups& groups) {
  if (ranks == nullptr && !groups.on()) {
    return kernels::batch_norm_backward(b);
  }
  if (!b.sums_given) {
    gradient_sums(b, groups);
  }
  kernels::BatchNormBackward shared = b;
  shared.sums_given = true;
  if (ranks != nullptr) {
    share_sums(shared, *ranks, groups);
  }
  kernels::batch_norm_backward(shared);
}

}  // namespace earmark
