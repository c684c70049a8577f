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

void batch_norm_statistics(const kernels::BatchNormStatistics& given, const RankStatistics* ranks) {
  kernels::BatchNormStatistics a = given;
  if (RepeatedForwardScope::active()) {  // the first pass has moved them
    a.running_mean = a.running_variance = {};
  }
  if (ranks == nullptr) {
    return kernels::batch_norm_statistics(a);
  }
  check(a.x.shape().rank() >= 1, "batch norm: x must have a channel axis");
  const std::int64_t channels = a.x.dim(-1);
  const Tensor own({2, channels}, DType::f64, a.x.device());
  const Tensor all({ranks->ranks(), 2, channels}, DType::f64, a.x.device());
  kernels::batch_norm_moments(a.x, own);
  ranks->gather(own, all);
  kernels::batch_norm_merge(all, a.x.numel() / channels, a);
}

// dx takes the sums over all rows, divided by how many there are: the mean of the ranks' sums, divided by a rank's
// rows.
void batch_norm_backward(const kernels::BatchNormBackward& b, const RankStatistics* ranks) {
  if (ranks == nullptr) {
    return kernels::batch_norm_backward(b);
  }
  if (!b.sums_given) {
    kernels::batch_norm_gradient_sums(b);
  }
  kernels::BatchNormBackward shared = b;
  shared.sums_given = true;
  shared.dgamma = b.dgamma.clone();
  shared.dbeta = b.dbeta.clone();
  ranks->average(shared.dgamma, shared.dbeta);
  kernels::batch_norm_backward(shared);
}

}  // namespace earmark
