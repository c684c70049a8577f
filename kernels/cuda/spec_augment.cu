// A block for each segment: its mean, in double, where that is what masks are filled with, then every element that lies
// in a range is overwritten. Floor: one pass over the segments, 24.6 KB each for 96 x 64, and what is masked, over 3.35
// TB/s (H100): 3 us for 320, which is as long as a launch; an addition in double a sample is half of that, and a dozen
// comparisons as much. A third of the floor is to be expected: a launch and a block's barrier between its two passes
// take longer than either.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/upload.h"
#include "kernels/spec_augment.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;

/// The masks of all segments, `each` of one.
template <class Mask>
struct Masks {
  const Mask* listed;
  int each;
};

__device__ __forceinline__ bool lies_in(const MaskRange& range, std::int64_t place) {
  return place >= range.begin && place < range.end;
}

__device__ __forceinline__ bool any_has(const Masks<MaskRange>& masks, std::int64_t segment, std::int64_t place) {
  bool inside = false;
  for (int i = 0; i < masks.each; ++i) {
    inside = inside || lies_in(masks.listed[segment * masks.each + i], place);
  }
  return inside;
}

__device__ __forceinline__ bool any_has(const Masks<MaskBox>& masks, std::int64_t segment, std::int64_t band,
                                        std::int64_t frame) {
  bool inside = false;
  for (int i = 0; i < masks.each; ++i) {
    const MaskBox box = masks.listed[segment * masks.each + i];
    inside = inside || (lies_in(box.bands, band) && lies_in(box.frames, frame));
  }
  return inside;
}

struct Fill {
  bool with_mean;
  float value;
};

__global__ void __launch_bounds__(kThreads)
    mask_kernel(float* x, std::int64_t bands, std::int64_t frames, Masks<MaskRange> of_bands,
                Masks<MaskRange> of_frames, Masks<MaskBox> boxes, Fill fill) {
  const std::int64_t segment = blockIdx.x;
  const std::int64_t numel = bands * frames;
  x += segment * numel;
  const float value = fill.with_mean ? block_mean<kThreads>(x, numel) : fill.value;
  for (std::int64_t i = threadIdx.x; i < numel; i += kThreads) {
    const std::int64_t band = i / frames;
    const std::int64_t frame = i % frames;
    if (any_has(of_bands, segment, band) || any_has(of_frames, segment, frame) ||
        any_has(boxes, segment, band, frame)) {
      x[i] = value;
    }
  }
}

}  // namespace

void spec_augment(const SpecAugment& args) {
  const Device device = args.x.device();
  const auto segments = static_cast<std::size_t>(args.x.dim(0));
  const Tensor bands = upload(args.bands, device);
  const Tensor frames = upload(args.frames, device);
  const Tensor boxes = upload(args.boxes, device);
  launch(mask_kernel, blocks(args.x.dim(0), kThreads), args.x.mutable_data<float>(), args.x.dim(1), args.x.dim(2),
         Masks<MaskRange>{uploaded<MaskRange>(bands), static_cast<int>(args.bands.size() / segments)},
         Masks<MaskRange>{uploaded<MaskRange>(frames), static_cast<int>(args.frames.size() / segments)},
         Masks<MaskBox>{uploaded<MaskBox>(boxes), static_cast<int>(args.boxes.size() / segments)},
         Fill{!args.fill.has_value(), args.fill.value_or(0.0F)});
}

}  // namespace earmark::kernels::cuda
