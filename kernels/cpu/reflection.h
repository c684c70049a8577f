// A signal continued by reflection at both ends: (… 2 1 | 0 1 2 … n-1 | n-2 …).
#pragma once

#include <cstdint>

namespace earmark::kernels::cpu {

/// The index in [0, n) of sample i of a signal of n samples so continued, however short it is.
inline std::int64_t reflected(std::int64_t i, std::int64_t n) {
  if (n == 1) {
    return 0;
  }
  const std::int64_t period = 2 * (n - 1);
  const std::int64_t within = (i % period + period) % period;
  return within < n ? within : period - within;
}

}  // namespace earmark::kernels::cpu
