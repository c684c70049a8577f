// Music repeats itself: where a query's clean sound occurs again in its track, a timestamp cannot be wrong in a way
// that matters. Two places are the same when their clean log-mel spectrograms correlate above kSameSound.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "experiments/query_set.h"
#include "experiments/rate.h"
#include "kernels/spectrogram.h"

namespace earmark::experiments {

inline constexpr double kSameSound = 0.99;
inline constexpr double kSimilarSound = 0.95;
inline constexpr double kDepthDb = 80;  ///< Spectrograms are compared, and shown, down to so far below their maximum.

/// Compares places of one track. Places are compared sample by sample around frames that look alike.
class RepeatFinder {
 public:
  /// `pcm` must outlive the finder. Throws Error where it is shorter than one window.
  explicit RepeatFinder(std::span<const float> pcm, int sample_rate = 16000);

  /// Pearson correlation between the log-mel spectrograms of two places `length_s` long, kDepthDb deep; 0 where either
  /// sticks out of the track.
  double correlation(double start_s, double other_s, double length_s) const;
  /// The highest correlation with a place within `tolerance_s` of `other_s`.
  double best_correlation(double start_s, double other_s, double length_s, double tolerance_s) const;
  /// Places more than 0.1 s away that correlate with the one at `start_s` above `minimum`, strongest first, at most 20.
  std::vector<Equivalent> repeats(double start_s, double length_s, double minimum) const;

 private:
  std::vector<double> grid_correlations(const std::vector<float>& excerpt, std::int64_t frames) const;
  std::vector<float> cut(std::int64_t start, std::int64_t frames) const;
  double correlation_with(const std::vector<float>& cut, std::int64_t other, std::int64_t frames) const;
  Equivalent refine(const std::vector<float>& excerpt, std::int64_t near, std::int64_t frames) const;

  std::span<const float> pcm_;
  FeatureOptions options_;
  float floor_db_ = 0;
  Tensor grid_;              // (frames, mel_bands): the whole track, every 10 ms
  std::vector<double> sum_;  // of the frames before each
  std::vector<double> square_;
};

/// How often a collection repeats itself: of the excerpts that a set asks for, by length.
struct RepeatShare {
  double length_s = 0;
  Rate same;     ///< With a place that correlates above kSameSound: nobody could tell which of them was played.
  Rate similar;  ///< Above kSimilarSound.
};
/// An excerpt counts once, in however many conditions it is asked. Empty where the set does not say.
std::vector<RepeatShare> repeat_shares(const QuerySet& set);

}  // namespace earmark::experiments
