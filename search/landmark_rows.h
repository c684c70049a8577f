// Landmarks as rows of an index: (n, 2) i32, each a frame and a hash, in order; the segment files, the catalogue and
// the writer are those of fingerprints.
#pragma once

#include <span>

#include "kernels/tensor.h"
#include "search/index_store.h"
#include "search/landmarks.h"

namespace earmark::search {

/// Whether rows of a segment are landmarks; those of fingerprints are of other types.
bool are_landmarks(const Tensor& rows);
/// A copy as rows.
Tensor rows_of(std::span<const Landmark> landmarks);
/// The rows as landmarks, sharing memory. Throws Error on rows of another kind.
std::span<const Landmark> landmarks_in(const Tensor& rows);

/// The format of an index of landmarks.
IndexFormat landmark_format(const LandmarkOptions& options);

}  // namespace earmark::search
