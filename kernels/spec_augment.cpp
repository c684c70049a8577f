#include "kernels/spec_augment.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_ranges(std::span<const MaskRange> ranges, std::int64_t segments, std::int64_t extent, const char* what) {
  check(segments == 0 ? ranges.empty() : static_cast<std::int64_t>(ranges.size()) % segments == 0,
        "spec_augment: ", ranges.size(), " ranges of ", what, " for ", segments, " segments");
  for (const MaskRange& range : ranges) {
    check(0 <= range.begin && range.begin <= range.end && range.end <= extent, "spec_augment: ", what, " ", range.begin,
          " to ", range.end, " of ", extent);
  }
}

}  // namespace

void spec_augment(const SpecAugment& args) {
  check(args.x && args.x.shape().rank() == 4 && args.x.dim(3) == 1, "spec_augment: expected x (N, F, T, 1), got ",
        args.x.shape());
  check_ranges(args.bands, args.x.dim(0), args.x.dim(1), "bands");
  check_ranges(args.frames, args.x.dim(0), args.x.dim(2), "frames");
  if (!args.bands.empty() || !args.frames.empty()) {
    run_on<cpu::spec_augment, cuda::spec_augment>(args.x.device(), args);
  }
}

}  // namespace earmark::kernels
