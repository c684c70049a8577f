#include "kernels/hash.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/hadamard.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kPointsPerTask = 256;

/// 2 * (coordinate of largest magnitude) + (1 where it is negative); of equal magnitudes the first.
std::int32_t cross_polytope_vertex(const float* x, std::int64_t coordinates) {
  float largest = 0;
  for (std::int64_t j = 0; j < coordinates; ++j) {
    largest = std::max(largest, std::abs(x[j]));
  }
  std::int64_t at = 0;
  while (at + 1 < coordinates && std::abs(x[at]) != largest) {
    ++at;
  }
  return static_cast<std::int32_t>(2 * at + (x[at] < 0 ? 1 : 0));
}

void hash_point(const float* point, std::int64_t d, const CrossPolytopeHash& args, float* rotated,
                std::int32_t* buckets) {
  const HashFamily& family = *args.family;
  for (std::int64_t t = 0; t < args.buckets.dim(1); ++t) {
    const std::int64_t table = args.first_table + t;
    std::int64_t bucket = 0;
    for (int function = 0; function < family.functions; ++function) {
      const std::int64_t coordinates = coordinates_of(family, function);
      rotate(point, d, family, table, function, rotated);
      bucket = bucket * 2 * coordinates + cross_polytope_vertex(rotated, coordinates);
    }
    buckets[t] = static_cast<std::int32_t>(bucket);
  }
}

}  // namespace

void cross_polytope_hash(const CrossPolytopeHash& args) {
  const std::int64_t d = args.points.dim(1);
  parallel_ranges(args.points.dim(0), kPointsPerTask, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> rotated(static_cast<std::size_t>(args.family->padded_dimension()));
    for (std::int64_t i = begin; i < end; ++i) {
      hash_point(args.points.data<float>() + i * d, d, args, rotated.data(),
                 args.buckets.mutable_data<std::int32_t>() + i * args.buckets.dim(1));
    }
  });
}

void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out) {
  for (std::int64_t i = 0; i < std::int64_t{family.tables} * family.functions; ++i) {
    rotate(point.data<float>(), point.numel(), family, i / family.functions, i % family.functions,
           out.mutable_data<float>() + i * family.padded_dimension());
  }
}

}  // namespace earmark::kernels::cpu
