#include "kernels/hash.h"

#include <bit>

#include "kernels/dispatch.h"
#include "kernels/random.h"

namespace earmark::kernels {
namespace {

/// Bits of a cross-polytope over `coordinates` (a power of two): which coordinate, and its sign.
int bits_of(std::int64_t coordinates) { return std::countr_zero(static_cast<std::uint64_t>(coordinates)) + 1; }

void check_family(const HashFamily& family, std::int64_t dimension) {
  check(family.signs && family.signs.shape().rank() == 4, "hash family: no signs");
  check(family.padded_dimension() == static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(dimension))),
        "hash family is for dimension ", family.padded_dimension(), ", got points of ", dimension);
}

}  // namespace

int HashFamily::bits() const { return (functions - 1) * bits_of(padded_dimension()) + bits_of(last_dimension); }

HashFamily make_hash_family(std::int64_t dimension, int tables, int bits, int rotations, std::uint64_t seed) {
  check(dimension >= 1, "hash family: expected a dimension of at least 1, got ", dimension);
  check(tables >= 1 && tables <= 1000, "hash tables: expected 1 to 1000, got ", tables);
  check(bits >= 1 && bits <= 28, "hash bits: expected 1 to 28, got ", bits);
  check(rotations >= 1 && rotations <= 3, "hash rotations: expected 1 to 3, got ", rotations);
  const auto padded = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(dimension)));
  const int whole = bits_of(padded);
  HashFamily family;
  family.tables = tables;
  family.functions = (bits + whole - 1) / whole;
  family.last_dimension = 1 << (bits - (family.functions - 1) * whole - 1);
  family.rotations = rotations;
  family.signs = Tensor({tables, family.functions, rotations, padded});
  RandomStream random(seed, /*stream=*/0x45415348);
  float* signs = family.signs.mutable_data<float>();
  for (std::int64_t i = 0; i < family.signs.numel(); ++i) {
    signs[i] = (random.bits() & 1U) != 0 ? 1.0F : -1.0F;
  }
  return family;
}

void cross_polytope_hash(const CrossPolytopeHash& args) {
  check(args.family != nullptr && args.points.shape().rank() == 2, "hash: expected points (n, d), got ",
        args.points.shape());
  check_family(*args.family, args.points.dim(1));
  check(args.buckets.shape().rank() == 2 && args.buckets.dim(0) == args.points.dim(0) && args.first_table >= 0 &&
            args.first_table + args.buckets.dim(1) <= args.family->tables,
        "hash: buckets ", args.buckets.shape(), " from table ", args.first_table, " of ", args.family->tables);
  run_on<cpu::cross_polytope_hash, cuda::cross_polytope_hash>(args.points.device(), args);
}

void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out) {
  check_family(family, point.numel());
  check(out.numel() == family.tables * family.functions * family.padded_dimension(), "rotation: result has shape ",
        out.shape());
  run_on<cpu::pseudo_rotate, cuda::pseudo_rotate>(point.device(), point, family, out);
}

}  // namespace earmark::kernels
