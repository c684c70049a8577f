// Cross-polytope hashing of unit vectors (Andoni, Indyk, Laarhoven, Razenshteyn, Schmidt, "Practical and optimal LSH
// for angular distance", NIPS 2015). A pseudo-rotation (random signs, then a fast Hadamard transform, per round) is
// applied, and the hash is the coordinate of largest magnitude with its sign: 2d values. k such functions are joined;
// the last one looks at `last_dimension` coordinates only, so that the number of bits can be chosen freely.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// The hash family: tables × functions pseudo-rotations. `dimension` is padded to a power of two inside.
struct HashFamily {
  int tables = 50;
  int functions = 3;       // cross-polytopes per table
  int last_dimension = 2;  // coordinates the last one looks at: 2 gives its 2 bits
  int rotations = 1;       // rounds of signs + Hadamard, 1 to 3
  Tensor signs;            // (tables, functions, rotations, padded dimension) f32, each -1 or 1

  std::int64_t padded_dimension() const { return signs.dim(3); }
  int bits() const;  ///< Bits of one table's bucket number.
};

/// A family whose signs come from Philox under `seed`. `bits` is split as FALCONN does: as many full cross-polytopes
/// of 1 + log2(padded d) bits as fit, and one of what remains. Throws Error where the split is impossible.
HashFamily make_hash_family(std::int64_t dimension, int tables, int bits, int rotations, std::uint64_t seed);

/// buckets[i][t] = bucket of point i in table first_table + t. The first function's value is the highest.
struct CrossPolytopeHash {
  Tensor points;  // (n, d) f32
  const HashFamily* family = nullptr;
  Tensor buckets;  // (n, number of tables) i32
  int first_table = 0;
};
void cross_polytope_hash(const CrossPolytopeHash& args);

/// All rotated coordinates of one point, from which probes are chosen: out (tables, functions, padded d) f32.
void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out);

namespace cpu {
void cross_polytope_hash(const CrossPolytopeHash& args);
void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out);
}  // namespace cpu
namespace cuda {
void cross_polytope_hash(const CrossPolytopeHash& args);
void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out);
}  // namespace cuda
}  // namespace earmark::kernels
