#include "train/gradient_cache.h"

#include <optional>

#include "autograd/repeated_forward.h"
#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::train {

namespace {

/// Both views of some pairs as one tensor, and back, among those of all pairs.
class PairRows {
 public:
  /// Pairs [begin, end) of `pairs`.
  PairRows(std::int64_t begin, std::int64_t end, std::int64_t pairs) : begin_(begin), end_(end), pairs_(pairs) {}

  Tensor taken_from(const Tensor& all) const {
    const Tensor rows(all.shape().with_leading(2 * (end_ - begin_)), all.dtype(), all.device());
    first_of(rows).copy_from(all.slice(begin_, end_));
    second_of(rows).copy_from(all.slice(pairs_ + begin_, pairs_ + end_));
    return rows;
  }
  void put_into(const Tensor& all, const Tensor& rows) const {
    all.slice(begin_, end_).copy_from(first_of(rows));
    all.slice(pairs_ + begin_, pairs_ + end_).copy_from(second_of(rows));
  }

 private:
  Tensor first_of(const Tensor& rows) const { return rows.slice(0, end_ - begin_); }
  Tensor second_of(const Tensor& rows) const { return rows.slice(end_ - begin_, 2 * (end_ - begin_)); }

  std::int64_t begin_;
  std::int64_t end_;
  std::int64_t pairs_;
};

}  // namespace

NtXentResult cached_backward(const Tensor& views, const CachedStep& step) {
  const std::int64_t pairs = views.dim(0) / 2;
  check(step.micro_batch > 0 && views.dim(0) % 2 == 0 && pairs % step.micro_batch == 0, "train step: ", views.dim(0),
        " views cannot be divided into micro-batches of ", step.micro_batch, " pairs");
  const std::int64_t last = pairs / step.micro_batch - 1;
  const auto part = [&](std::int64_t i) { return PairRows(i * step.micro_batch, (i + 1) * step.micro_batch, pairs); };
  Tensor embeddings;
  Variable recorded;  // the last part's: its activations are the ones that are kept
  {
    const TraceRange range("forward");
    for (std::int64_t i = 0; i <= last; ++i) {
      std::optional<NoGradScope> unrecorded;
      if (i < last) {
        unrecorded.emplace();
      }
      recorded = step.forward(part(i).taken_from(views));
      if (!embeddings) {
        embeddings = Tensor(recorded.shape().with_leading(2 * pairs), recorded.value().dtype(), views.device());
      }
      part(i).put_into(embeddings, recorded.value());
    }
  }
  const Variable all(embeddings, true);
  const NtXentResult result = step.loss(all);
  const TraceRange range("backward");
  result.loss.backward();
  const auto go_back = [&](std::int64_t i) {
    recorded.backward(part(i).taken_from(all.grad()));
    recorded = {};
  };
  if (last == 0) {
    step.before_last();
  }
  go_back(last);
  for (std::int64_t i = 0; i < last; ++i) {
    {
      const RepeatedForwardScope repeated;
      recorded = step.forward(part(i).taken_from(views));
    }
    if (i == last - 1) {
      step.before_last();
    }
    go_back(i);
  }
  return result;
}

}  // namespace earmark::train
