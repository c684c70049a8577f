// Finds the thresholds of calibration.h: excerpts that are certainly not in the index are searched, and the threshold
// is put where at most the wanted share of them would pass. The upper tail is not counted but extrapolated from a
// Gumbel distribution (the law of maxima) through the median and the 90 % quantile, to half the share: so a few
// excerpts that do occur elsewhere in the index (the same piece in two files) do not lift it. At least it is the
// quantile of twice the share.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"
#include "search/calibration.h"
#include "search/database.h"
#include "search/matcher.h"

namespace earmark::search {

struct CalibrateOptions {
  std::vector<int> rows = {1, 11, 21, 41, 91};  // query lengths, in fingerprints, ascending
  int excerpts = 400;                           // at most
  double false_match_rate = 0.01;
  std::uint64_t seed = 1;
};

/// Excerpts of the index's own tracks, each searched with its track left out. No calibration where the index has fewer
/// than two tracks.
Calibration calibrate_on_held_out_tracks(const Database& database, MatcherOptions options,
                                         const CalibrateOptions& calibrate = {});

/// Excerpts of fingerprints (n, d) of sound that is known not to be in the index. Throws Error without any.
Calibration calibrate_on_absent(const Database& database, MatcherOptions options, const std::vector<Tensor>& absent,
                                const CalibrateOptions& calibrate = {});

/// Threshold that a share of `rate` passes, by the Gumbel tail.
double gumbel_threshold(std::vector<double> values, double rate);

}  // namespace earmark::search
