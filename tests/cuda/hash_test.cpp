// Buckets and rotated coordinates: every bit must be the CPU's, ties included.
#include "kernels/hash.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

using kernels::HashFamily;
using kernels::make_hash_family;

class GpuHash : public GpuTest {};

/// The buckets of tables [first_table, first_table + tables), computed where `points` are.
Tensor hash(const Tensor& points, const HashFamily& family, int first_table, int tables) {
  const Tensor buckets({points.dim(0), tables}, DType::i32, points.device());
  kernels::cross_polytope_hash({points, &family, buckets, first_table});
  return buckets.to(Device{});
}

void expect_same_buckets(const Tensor& points, const HashFamily& family, int first_table, int tables) {
  const Tensor want = hash(points, family, first_table, tables);
  const Tensor got = hash(points.to(kGpu), family, first_table, tables);
  for (std::int64_t i = 0; i < want.numel(); ++i) {
    ASSERT_EQ(got.data<std::int32_t>()[i], want.data<std::int32_t>()[i])
        << points.shape() << ", " << family.rotations << " rotations, point " << i / tables << ", table " << i % tables;
  }
}

TEST_F(GpuHash, BucketsAreTheCpus) {
  for (const std::int64_t d : {1, 2, 6, 33, 100, 128, 200, 512, 1000}) {
    for (const int rotations : {1, 3}) {
      const HashFamily family = make_hash_family(d, 5, 13, rotations, 7);
      expect_same_buckets(draw({19, d}, Domain::unit_rows, DType::f32, 3), family, 0, 5);
    }
  }
}

TEST_F(GpuHash, TiesFallAsOnTheCpu) {
  for (const std::int64_t d : {2, 16, 128}) {
    for (const Domain domain : {Domain::ties, Domain::zeros}) {
      expect_same_buckets(draw({40, d}, domain, DType::f32, 5), make_hash_family(d, 4, 18, 1, 9), 0, 4);
    }
  }
}

TEST_F(GpuHash, AnyTablesOfAnyNumberOfPoints) {
  const HashFamily family = make_hash_family(128, 70, 18, 1, 1);
  const Tensor points = draw({3, 128}, Domain::unit_rows, DType::f32, 4);
  expect_same_buckets(points, family, 0, 70);
  expect_same_buckets(points, family, 37, 33);
  expect_same_buckets(points.slice(1, 2), family, 69, 1);
  expect_same_buckets(points.slice(0, 0), family, 0, 70);
  expect_same_buckets(points, family, 3, 0);
}

TEST_F(GpuHash, SignsMayLiveOnTheGpu) {
  const HashFamily family = make_hash_family(64, 3, 12, 2, 1);
  HashFamily there = family;
  there.signs = family.signs.to(kGpu);
  const Tensor points = draw({5, 64}, Domain::normal, DType::f32, 4);
  const Tensor want = hash(points, family, 1, 2);
  const Tensor got = hash(points.to(kGpu), there, 1, 2);
  EXPECT_EQ(std::memcmp(got.raw(), want.raw(), want.bytes()), 0);
}

TEST_F(GpuHash, NaNAndInfinityFallAsOnTheCpu) {
  const Tensor points = draw({3, 100}, Domain::normal, DType::f32, 4);
  points.mutable_data<float>()[5] = std::numeric_limits<float>::infinity();
  points.mutable_data<float>()[150] = std::numeric_limits<float>::quiet_NaN();
  expect_same_buckets(points, make_hash_family(100, 3, 18, 1, 2), 0, 3);
}

TEST_F(GpuHash, RotatedCoordinatesAreTheCpus) {
  for (const std::int64_t d : {1, 20, 100, 128, 700}) {
    const HashFamily family = make_hash_family(d, 3, 16, 2, 9);
    const Tensor point = draw({d}, Domain::normal, DType::f32, 4);
    const Tensor want({family.tables, family.functions, family.padded_dimension()});
    const Tensor got(want.shape(), DType::f32, kGpu);
    kernels::pseudo_rotate(point, family, want);
    kernels::pseudo_rotate(point.to(kGpu), family, got);
    EXPECT_EQ(std::memcmp(got.to(Device{}).raw(), want.raw(), want.bytes()), 0) << "dimension " << d;
  }
}

TEST_F(GpuHash, RefusesMoreElementsThanAWarpHolds) {
  const HashFamily family = make_hash_family(1025, 1, 4, 1, 1);
  EXPECT_THROW(hash(Tensor::zeros({2, 1025}, DType::f32, kGpu), family, 0, 1), Error);
}

}  // namespace
}  // namespace earmark::testing
