// Within-class covariance normalisation (Hatch, Kajarekar, Stolcke, "Within-class covariance normalization for
// SVM-based speaker recognition", Interspeech 2006): where distortions move fingerprints much, differences between
// fingerprints count little. The class is a place in music, its members what is heard of it: C is the mean of (a - b)(a
// - b)' over pairs of a clean fingerprint a and a distorted one b, and fingerprints are multiplied with W, W'W = C^-1,
// so that the angle between two is measured in what distortions leave alone.
#pragma once

#include <cstdint>

#include "data/pair_sampler.h"
#include "kernels/communicator.h"
#include "nn/model.h"

namespace earmark::train {

struct WhiteningOptions {
  std::int64_t pairs = 4096;  ///< Rounded up to whole batches.
  double floor = 0.05;        ///< Of C's mean eigenvalue, added to all of them: few pairs do not tell the smallest.
};

/// W (D, D) for a covariance C (D, D), both f64 in the host's memory: W'W = (C + floor · mean(diag C) · I)^-1 ·
/// mean(diag C), lower triangular; the identity where C is 0. Throws Error where C is not finite.
Tensor whitening_matrix(const Tensor& covariance, double floor);

/// Estimates the whitening of a model, whose options have one, from pairs that `training` draws in steps that no run
/// comes to, and sets it. Processes call it together, each has its share of the pairs, and all have the result of one,
/// the running statistics rank 0's. Throws Error where the model has no whitening or its fingerprints are not finite,
/// or where another process fails.
void whiten(const nn::Model& model, const data::PairSampler& training, const WhiteningOptions& options,
            Communicator& ranks);

}  // namespace earmark::train
