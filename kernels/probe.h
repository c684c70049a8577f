// Multi-probe sequence of the cross-polytope hash: which buckets to look into, best first. The home buckets of all
// tables come first, then all other buckets of all tables in one order of loss: sum over a table's functions of
// (largest magnitude - magnitude of the chosen coordinate)^2, which approximates the log-probability that a near
// neighbour falls there (Andoni et al. 2015, section 5).
#pragma once

#include "kernels/hash.h"
#include "kernels/tensor.h"

namespace earmark::kernels {

inline constexpr int kMostFunctions = 8;  ///< Of a table.
inline constexpr int kMostRanks = 256;    ///< Vertices of one function that are considered, in order of loss.

struct ProbeSequence {
  Tensor queries;  // (m, d) f32
  const HashFamily* family = nullptr;
  Tensor tables;   // (m, probes) i32; -1 behind the end, where fewer buckets exist than probes
  Tensor buckets;  // (m, probes) i32
};
/// Equal losses: lower table, then lower bucket first, so the sequence does not depend on anything else. Throws Error
/// for a family of more than kMostFunctions.
void probe_sequence(const ProbeSequence& args);

namespace cpu {
void probe_sequence(const ProbeSequence& args);
}
namespace cuda {
void probe_sequence(const ProbeSequence& args);
}
}  // namespace earmark::kernels
