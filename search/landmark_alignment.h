// How a query's landmarks line up with tracks: audfprint's matching (D. Ellis). Every place of a query's hash proposes
// a skew, the track's frame minus the query's. Tracks are looked into by the share of their landmarks that were found;
// in the histogram of a track's skews, local maxima are alignments, and count with the skews within the window.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "search/landmark_table.h"

namespace earmark::search {

struct LandmarkAlignment {
  std::uint32_t track = 0;  ///< Position in the table.
  int count = 0;            ///< Hits whose skew is within the window.
  int skew = 0;             ///< Frames, modulo the table's time bits.
  int hits = 0;             ///< Of the track, at whatever skew.
};

/// Alignments of a query, which has each landmark once: those of the highest count first; of equals that of the track
/// looked into first, then that whose own skew has more hits, then the lower skew.
std::vector<LandmarkAlignment> align_landmarks(const LandmarkTable& table, const LandmarkOptions& options,
                                               std::span<const Landmark> query);

}  // namespace earmark::search
