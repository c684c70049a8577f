#include "kernels/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

Tensor hash(const Tensor& points, const HashFamily& family) {
  Tensor buckets({points.dim(0), family.tables}, DType::i32);
  cross_polytope_hash({points, &family, buckets});
  return buckets;
}

/// By the definition, in double: signs, the Hadamard matrix (-1)^popcount(i & j), the largest coordinate.
std::int64_t reference_bucket(const float* point, std::int64_t d, const HashFamily& family, int table) {
  const std::int64_t n = family.padded_dimension();
  std::int64_t bucket = 0;
  for (int function = 0; function < family.functions; ++function) {
    std::vector<double> x(static_cast<std::size_t>(n), 0);
    std::copy_n(point, d, x.begin());
    for (int round = 0; round < family.rotations; ++round) {
      const float* signs =
          family.signs.data<float>() + ((table * family.functions + function) * family.rotations + round) * n;
      std::vector<double> y(x.size(), 0);
      for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t j = 0; j < x.size(); ++j) {
          y[i] += (__builtin_popcountll(i & j) % 2 == 0 ? 1 : -1) * static_cast<double>(signs[j]) * x[j];
        }
      }
      x = y;
    }
    const bool last = function + 1 == family.functions;
    const auto coordinates = static_cast<std::ptrdiff_t>(last ? family.last_dimension : n);
    const auto largest = std::max_element(x.begin(), x.begin() + coordinates,
                                          [](double a, double b) { return std::abs(a) < std::abs(b); });
    const auto as_large = std::count_if(x.begin(), x.begin() + coordinates, [&](double value) {
      return std::abs(value) > std::abs(*largest) * (1 - 1e-5);
    });
    if (as_large > 1) {
      return -1;  // structured small transforms have exact ties, which rounding decides
    }
    bucket = bucket * 2 * coordinates + 2 * (largest - x.begin()) + (*largest < 0 ? 1 : 0);
  }
  return bucket;
}

TEST(HashFamilyTest, SplitsBitsAsInThePaper) {
  const HashFamily family = make_hash_family(128, 50, 18, 1, 1);
  EXPECT_EQ(family.functions, 3);
  EXPECT_EQ(family.last_dimension, 2);
  EXPECT_EQ(family.bits(), 18);
  for (const int bits : {1, 7, 8, 9, 16, 20, 24}) {
    EXPECT_EQ(make_hash_family(128, 2, bits, 1, 1).bits(), bits);
  }
  EXPECT_EQ(make_hash_family(100, 2, 18, 1, 1).padded_dimension(), 128);
}

TEST(HashFamilyTest, RefusesNonsense) {
  EXPECT_THROW(make_hash_family(128, 0, 18, 1, 1), Error);
  EXPECT_THROW(make_hash_family(128, 50, 0, 1, 1), Error);
  EXPECT_THROW(make_hash_family(128, 50, 40, 1, 1), Error);
  EXPECT_THROW(make_hash_family(128, 50, 18, 4, 1), Error);
}

TEST(CrossPolytopeHashTest, AgreesWithDefinition) {
  for (const std::int64_t d : {1, 2, 6, 16, 100, 128, 200}) {
    for (const int rotations : {1, 2, 3}) {
      const HashFamily family = make_hash_family(d, 4, 10, rotations, 7);
      const Tensor points = draw({20, d}, Domain::normal, DType::f32, static_cast<std::uint64_t>(d));
      const Tensor buckets = hash(points, family);
      int compared = 0;
      for (std::int64_t i = 0; i < points.dim(0); ++i) {
        for (int table = 0; table < family.tables; ++table) {
          const std::int64_t expected = reference_bucket(points.data<float>() + i * d, d, family, table);
          if (expected >= 0) {
            ++compared;
            EXPECT_EQ(buckets.data<std::int32_t>()[i * family.tables + table], expected)
                << "dimension " << d << " rotations " << rotations;
          }
        }
      }
      EXPECT_GT(compared, 20);
    }
  }
}

TEST(CrossPolytopeHashTest, OneTableAtATimeIsTheSame) {
  const HashFamily family = make_hash_family(64, 5, 12, 2, 3);
  const Tensor points = draw({300, 64}, Domain::normal, DType::f32, 1);
  const Tensor all = hash(points, family);
  for (int table = 0; table < family.tables; ++table) {
    Tensor one({points.dim(0), 1}, DType::i32);
    cross_polytope_hash({points, &family, one, table});
    for (std::int64_t i = 0; i < points.dim(0); ++i) {
      ASSERT_EQ(one.data<std::int32_t>()[i], all.data<std::int32_t>()[i * family.tables + table]);
    }
  }
}

TEST(CrossPolytopeHashTest, NearPointsCollideMoreThanFarOnes) {
  const HashFamily family = make_hash_family(128, 200, 8, 1, 5);
  Tensor points = draw({3, 128}, Domain::normal, DType::f32, 2);
  float* x = points.mutable_data<float>();
  for (std::int64_t j = 0; j < 128; ++j) {
    x[128 + j] = x[j] + 0.3F * x[128 + j];  // near the first
  }
  const Tensor buckets = hash(points, family);
  int near = 0;
  int far = 0;
  for (std::int64_t t = 0; t < family.tables; ++t) {
    near += buckets.data<std::int32_t>()[t] == buckets.data<std::int32_t>()[family.tables + t] ? 1 : 0;
    far += buckets.data<std::int32_t>()[t] == buckets.data<std::int32_t>()[2 * family.tables + t] ? 1 : 0;
  }
  EXPECT_GT(near, 50);
  EXPECT_LT(far, 10);
}

TEST(PseudoRotateTest, KeepsLengths) {
  const HashFamily family = make_hash_family(100, 3, 16, 3, 9);
  const Tensor point = draw({1, 100}, Domain::normal, DType::f32, 4).reshape({100});
  Tensor out({family.tables, family.functions, family.padded_dimension()});
  pseudo_rotate(point, family, out);
  const auto length = [](const float* x, std::int64_t n) {
    double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
    return std::sqrt(sum);
  };
  for (std::int64_t i = 0; i < std::int64_t{family.tables} * family.functions; ++i) {
    EXPECT_NEAR(length(out.data<float>() + i * 128, 128), length(point.data<float>(), 100), 1e-4);
  }
}

}  // namespace
}  // namespace earmark::kernels
