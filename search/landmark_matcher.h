// From a query's landmarks to tracks and places in them: a table of the index's landmarks, and alignments with it
// (landmark_alignment.h). The table knows a frame modulo 2^time_bits (6:20 min by default); in longer tracks the
// landmarks themselves tell which of the possible starts it is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "search/index_store.h"
#include "search/landmark_alignment.h"
#include "search/landmark_table.h"
#include "search/matcher.h"

namespace earmark::search {

class LandmarkMatcher {
 public:
  /// Of `options`, top, threshold and calibration count. The store, of landmarks, must outlive the matcher.
  LandmarkMatcher(const IndexStore& store, const MatcherOptions& options);

  /// Matches of a query, best first, one per track. Their score is the number of landmarks that agree (Match::votes
  /// too); the confidence of the best is how far apart in the query they lie: 1 - sqrt(landmarks that agree with
  /// another track, or as many as chance may give) / (frames in which they agree with this one). That of others is 0.
  /// Safe to call from several threads.
  std::vector<Match> match(std::span<const Landmark> query) const;

  /// The best match as if track `masked_track` (negative: none) were not in the index, and the score that it has.
  struct LeftOut {
    std::optional<Match> best;
    double own_score = 0;
  };
  LeftOut match_without(std::span<const Landmark> query, std::int64_t masked_track) const;

  /// Landmarks of a query that agree with a start in a track: how many, and the frames of the query from which to which
  /// nearly all of them are (audfprint leaves out 2 % on either side).
  struct Support {
    int count = 0;
    std::int32_t first_frame = 0;
    std::int32_t last_frame = 0;
  };
  Support support(std::span<const Landmark> query, std::int64_t track_id, double start_s) const;

  const LandmarkOptions& options() const { return options_; }

 private:
  std::vector<LandmarkAlignment> best_of_tracks(std::span<const Landmark> query, std::size_t most) const;
  double confidence(std::span<const Landmark> query, const LandmarkAlignment& found, int other) const;
  Match match_of(std::span<const Landmark> query, const LandmarkAlignment& found, double confidence) const;
  std::vector<std::int32_t> frames_of(std::span<const Landmark> query, std::size_t track, std::int64_t skew) const;
  std::int64_t unwrapped(std::span<const Landmark> query, std::size_t track, int skew) const;
  double threshold(std::span<const Landmark> query) const;

  const IndexStore& store_;
  LandmarkOptions options_;
  int top_;
  std::optional<double> threshold_;  // on the confidence
  std::optional<Calibration> calibration_;
  LandmarkTable table_;
};

/// Confidence above which an answer to a query of so many frames is a match, in an index that has no calibration. As in
/// audfprint every answer is one where a least count keeps chance away; where it does not ("best"), more is asked for.
double landmark_threshold(const LandmarkOptions& options, int frames);

}  // namespace earmark::search
