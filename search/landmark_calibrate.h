// The thresholds of calibration.h for landmarks: the excerpts that an index keeps (landmark_excerpts.h) are searched as
// queries are, each with its own track left out, and the threshold is put where at most the wanted share of them pass,
// and of more would (gumbel_threshold() in calibrate.h).
#pragma once

#include <span>
#include <vector>

#include "search/calibrate.h"
#include "search/calibration.h"
#include "search/index_store.h"
#include "search/landmark_excerpts.h"

namespace earmark::search {

/// A point's `rows` are frames of the query. Excerpts of which another track has half as many landmarks as their own
/// are left out: that track holds the same sound, and to name it is no false match. Where the index has fewer than
/// ten tracks with excerpts or fewer than twenty of them, too few to tell one in a hundred, the points are cautious
/// ones, and Calibration::source says so. Without any excerpts, as
/// in an index that was made before there were any, there are no points. Of `options` the rate counts.
Calibration calibrate_landmarks(const IndexStore& store, std::span<const LandmarkExcerpt> excerpts,
                                const CalibrateOptions& options = {});

/// The same with sound that is known not to be in the index: landmarks as of a query, LandmarkExcerpt::kSeconds of
/// sound or less.
Calibration calibrate_landmarks_on_absent(const IndexStore& store, std::span<const std::vector<Landmark>> absent,
                                          const CalibrateOptions& options = {});

}  // namespace earmark::search
