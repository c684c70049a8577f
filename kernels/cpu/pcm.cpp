#include "kernels/pcm.h"

#include <algorithm>

#include "kernels/parallel.h"

namespace earmark::kernels::cpu {

void widen_pcm(const WidenPcm& args) {
  constexpr std::int64_t kSamplesPerTask = 1 << 16;
  const auto* pcm = args.pcm.data<std::int16_t>();
  auto* out = args.out.mutable_data<float>();
  parallel_ranges(args.pcm.numel(), kSamplesPerTask, [&](std::int64_t begin, std::int64_t end) {
    std::transform(pcm + begin, pcm + end, out + begin,
                   [](std::int16_t v) { return static_cast<float>(v) * kPcmStep; });
  });
}

}  // namespace earmark::kernels::cpu
