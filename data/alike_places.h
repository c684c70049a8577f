// Which places of a track sound most like a given one: the hardest negatives that music has (a loop's next round, the
// same bar of another verse), found without a model. Log-mel spectrograms are compared, window after window, as bytes:
// sums of integers are the same in any order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "data/pcm_store.h"
#include "kernels/spectrogram.h"

namespace earmark::data {

class AlikePlaces {
 public:
  /// Places are as long as a segment of `features`, whose bands and window are used too.
  AlikePlaces(std::shared_ptr<const PcmStore> store, const FeatureOptions& features);

  /// Up to `count` places (their first samples) of a track, those that correlate most (Pearson) with the one that
  /// begins at `start` first. They lie at least `apart` samples from it and from each other. A track's spectrogram is
  /// made when it is first asked for, and kept: 8 MB for each hour of music at 64 bands and hops of 10 ms. Thread-safe.
  std::vector<std::int64_t> find(std::int64_t track, std::int64_t start, int count, std::int64_t apart) const;

 private:
  struct Spectrogram;
  std::shared_ptr<const Spectrogram> spectrogram(std::int64_t track) const;
  /// Of every frame at which a place may begin, how alike it is to the one at frame `at`: -1 to 1.
  std::vector<double> correlations(const Spectrogram& of, std::int64_t at) const;

  std::shared_ptr<const PcmStore> store_;
  FeatureOptions features_;  // with the coarse hop
  std::int64_t frames_ = 0;  // of a place
  std::int64_t samples_ = 0;
  mutable std::mutex mutex_;
  mutable std::map<std::int64_t, std::shared_ptr<const Spectrogram>> made_;
};

}  // namespace earmark::data
