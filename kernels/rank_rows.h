// Rows that ranks have made of their shares of something, put together.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/communicator.h"
#include "kernels/tensor.h"

namespace earmark {

/// All ranks' rows in the order of the ranks, (sum of counts, d), at all of them; all call it together. `own` (n, d) is
/// this rank's, in the host's memory; rank r has counts[r] rows, and all know that.
Tensor gather_rows(Communicator& ranks, const Tensor& own, std::span<const std::int64_t> counts);

}  // namespace earmark
