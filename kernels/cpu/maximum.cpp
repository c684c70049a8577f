#include "kernels/maximum.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kMaximumBlock = std::int64_t{1} << 16U;  // elements per task
constexpr std::size_t kChains = 16;                             // chains of comparisons side by side

float larger(float a, float b) { return a >= b || a != a ? a : b; }

float largest_of(std::span<const float> x) {
  std::array<float, kChains> top{};
  top.fill(-std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < x.size(); ++i) {
    top[i % kChains] = larger(top[i % kChains], x[i]);
  }
  float out = top[0];
  for (const float lane : top) {
    out = larger(out, lane);
  }
  return out;
}

}  // namespace

void maximum(const MaximumOf& args) {
  const std::span<const float> x = args.x.values<float>();
  std::vector<float> parts(static_cast<std::size_t>((args.x.numel() + kMaximumBlock - 1) / kMaximumBlock));
  parallel_ranges(args.x.numel(), kMaximumBlock, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / kMaximumBlock)] =
        largest_of(x.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
  });
  *args.out.mutable_data<float>() = largest_of(parts);
}

}  // namespace earmark::kernels::cpu
