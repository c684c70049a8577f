// Retrieval on held-out music: distorted segments are searched, by exact inner product, among the clean fingerprints of
// all held-out tracks.
#pragma once

#include <memory>

#include "data/pair_sampler.h"
#include "kernels/communicator.h"
#include "nn/fingerprinter.h"

namespace earmark::train {

struct HitRate {
  double segment = 0;  ///< Share of queries whose nearest fingerprint is of the right track, at most 50 ms off.
  double track = 0;    ///< Share whose nearest fingerprint is of the right track.
  std::int64_t queries = 0;
  std::int64_t database = 0;  ///< Fingerprints searched.
};

/// The same queries at every call: they depend on the sampler alone.
HitRate validate(const nn::Model& model, const data::PairSampler& held_out);
/// The same by several processes, which call it together: each has its share of the tracks and of the queries, and all
/// have the result, one process's. `held_out` is the same for all; of the model, running statistics become rank 0's.
/// Throws Error also where another process fails, hangs or has gone.
HitRate validate(const nn::Model& model, const data::PairSampler& held_out, Communicator& ranks);

}  // namespace earmark::train
