#include "search/landmark_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/error.h"

namespace earmark::search {

static_assert(sizeof(Landmark) == 2 * sizeof(std::int32_t), "a landmark is a row");

bool are_landmarks(const Tensor& rows) {
  return rows && rows.dtype() == DType::i32 && rows.shape().rank() == 2 && rows.dim(1) == 2;
}

Tensor rows_of(std::span<const Landmark> landmarks) {
  const Tensor rows({static_cast<std::int64_t>(landmarks.size()), 2}, DType::i32);
  if (!landmarks.empty()) {
    std::memcpy(rows.mutable_data<std::int32_t>(), landmarks.data(), landmarks.size_bytes());
  }
  return rows;
}

std::span<const Landmark> landmarks_in(const Tensor& rows) {
  check(are_landmarks(rows), "expected landmarks, (rows, 2) i32, got ", rows.shape());
  return {reinterpret_cast<const Landmark*>(rows.data<std::int32_t>()), static_cast<std::size_t>(rows.dim(0))};
}

IndexFormat landmark_format(const LandmarkOptions& options) {
  constexpr int kLeastFrames = 4;  // a shorter sound has no pair of peaks
  IndexFormat format;
  format.dimension = 2;
  format.sample_rate = LandmarkOptions::kSampleRate;
  format.hop_samples = kernels::LandmarkPeakOptions::kHop;
  format.segment_samples = kLeastFrames * kernels::LandmarkPeakOptions::kHop;
  format.landmarks = options;
  return format;
}

}  // namespace earmark::search
