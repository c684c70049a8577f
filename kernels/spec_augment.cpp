#include "kernels/spec_augment.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_count(std::size_t masks, std::int64_t segments, const char* what) {
  check(segments == 0 ? masks == 0 : static_cast<std::int64_t>(masks) % segments == 0, "spec_augment: ", masks, " ",
        what, " for ", segments, " segments");
}

void check_range(const MaskRange& range, std::int64_t extent, const char* what) {
  check(0 <= range.begin && range.begin <= range.end && range.end <= extent, "spec_augment: ", what, " ", range.begin,
        " to ", range.end, " of ", extent);
}

void check_masks(const SpecAugment& args) {
  check_count(args.bands.size(), args.x.dim(0), "ranges of bands");
  check_count(args.frames.size(), args.x.dim(0), "ranges of frames");
  check_count(args.boxes.size(), args.x.dim(0), "boxes");
  for (const MaskRange& range : args.bands) {
    check_range(range, args.x.dim(1), "bands");
  }
  for (const MaskRange& range : args.frames) {
    check_range(range, args.x.dim(2), "frames");
  }
  for (const MaskBox& box : args.boxes) {
    check_range(box.bands, args.x.dim(1), "bands");
    check_range(box.frames, args.x.dim(2), "frames");
  }
}

}  // namespace

void spec_augment(const SpecAugment& args) {
  check(args.x && args.x.shape().rank() == 4 && args.x.dim(3) == 1, "spec_augment: expected x (N, F, T, 1), got ",
        args.x.shape());
  check_masks(args);
  if (!args.bands.empty() || !args.frames.empty() || !args.boxes.empty()) {
    run_on<cpu::spec_augment, cuda::spec_augment>(args.x.device(), args);
  }
}

}  // namespace earmark::kernels
