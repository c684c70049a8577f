#include "kernels/rank_rows.h"

#include <algorithm>
#include <numeric>

#include "kernels/error.h"

namespace earmark {

Tensor gather_rows(Communicator& ranks, const Tensor& own, std::span<const std::int64_t> counts) {
  check(own.shape().rank() == 2 && counts.size() == static_cast<std::size_t>(ranks.size()) &&
            own.dim(0) == counts[static_cast<std::size_t>(ranks.rank())],
        "rows to gather: ", own.shape(), " of rank ", ranks.rank(), ", not as many as it was said to have");
  const std::int64_t most = std::ranges::max(counts);
  const Tensor part = Tensor::zeros({most, own.dim(1)}, own.dtype());  // as long as the longest
  part.slice(0, own.dim(0)).copy_from(own);
  const Tensor whole({most * ranks.size(), own.dim(1)}, own.dtype());
  ranks.all_gather(part, whole);
  const Tensor packed({std::accumulate(counts.begin(), counts.end(), std::int64_t{0}), own.dim(1)}, own.dtype());
  std::int64_t row = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    const std::int64_t from = static_cast<std::int64_t>(r) * most;
    packed.slice(row, row + counts[r]).copy_from(whole.slice(from, from + counts[r]));
    row += counts[r];
  }
  return packed;
}

}  // namespace earmark
