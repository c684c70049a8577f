#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "tests/op_cases.h"

namespace earmark::kernels {
namespace {

using testing::Domain;
using testing::draw;

double at(const Tensor& t, bool transpose, std::int64_t i, std::int64_t j) {
  return transpose ? t.data<double>()[j * t.dim(1) + i] : t.data<double>()[i * t.dim(1) + j];
}

Shape matrix(std::int64_t rows, std::int64_t columns, bool transpose) {
  return transpose ? Shape{columns, rows} : Shape{rows, columns};
}

/// (M, N, K, transpose a, transpose b)
using ProductCase = std::tuple<int, int, int, bool, bool>;
class Product : public ::testing::TestWithParam<ProductCase> {};

TEST_P(Product, MatchesThePlainLoopInBothTypes) {
  const auto [m, n, k, ta, tb] = GetParam();
  const Tensor a = draw(matrix(m, k, ta), Domain::normal, DType::f64, 1);
  const Tensor b = draw(matrix(k, n, tb), Domain::normal, DType::f64, 2);
  const Tensor out({m, n}, DType::f64);
  matmul({.a = a, .b = b, .out = out, .transpose_a = ta, .transpose_b = tb});
  const Tensor single({m, n});
  matmul({.a = a.to(DType::f32), .b = b.to(DType::f32), .out = single, .transpose_a = ta, .transpose_b = tb});
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double want = 0;
      for (std::int64_t t = 0; t < k; ++t) {
        want += at(a, ta, i, t) * at(b, tb, t, j);
      }
      EXPECT_NEAR(at(out, false, i, j), want, 1e-11) << i << ", " << j;
      EXPECT_NEAR(single.data<float>()[i * n + j], want, 1e-5 * std::sqrt(k + 1.0)) << i << ", " << j;
    }
  }
}

// Around the tile (8 x 32), the packed block (64 x 256 x 256) and the task (128 x 256).
INSTANTIATE_TEST_SUITE_P(Sizes, Product,
                         ::testing::Values(ProductCase{1, 1, 1, false, false}, ProductCase{7, 31, 5, false, true},
                                           ProductCase{8, 32, 256, true, false}, ProductCase{9, 33, 257, true, true},
                                           ProductCase{65, 3, 300, false, true}, ProductCase{129, 257, 3, false, false},
                                           ProductCase{1, 300, 2, true, false}, ProductCase{300, 1, 2, false, true}));

TEST(Matmul, AccumulatesWhereAsked) {
  const Tensor a = Tensor::full({2, 300}, 1);
  const Tensor b = Tensor::full({300, 2}, 2);
  const Tensor out = Tensor::full({2, 2}, 10);
  matmul({.a = a, .b = b, .out = out, .accumulate = true});
  EXPECT_EQ(out.data<float>()[3], 610);
}

TEST(Matmul, OfNoDepthIsZero) {
  const Tensor out = Tensor::full({2, 3}, 7);
  matmul({.a = Tensor({2, 0}), .b = Tensor({0, 3}), .out = out});
  EXPECT_EQ(out.data<float>()[5], 0);
  matmul({.a = Tensor({0, 2}), .b = Tensor({2, 3}), .out = Tensor({0, 3})});
}

TEST(Matmul, NaNAndInfinityComeThrough) {
  const Tensor a = Tensor::full({3, 3}, 0);
  a.mutable_data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  a.mutable_data<float>()[8] = std::numeric_limits<float>::infinity();
  const Tensor out({3, 3});
  matmul({.a = a, .b = Tensor::full({3, 3}, 1), .out = out});
  EXPECT_EQ(out.data<float>()[0], 0);
  EXPECT_TRUE(std::isnan(out.data<float>()[5]));
  EXPECT_TRUE(std::isinf(out.data<float>()[6]));
}

TEST(Matmul, RefusesWhatDoesNotFit) {
  const Tensor a({2, 3});
  const Tensor out({2, 2});
  EXPECT_THROW(matmul({.a = a, .b = a, .out = out}), Error);
  EXPECT_THROW(matmul({.a = a, .b = Tensor({3, 3}), .out = out}), Error);
  EXPECT_THROW(matmul({.a = a, .b = Tensor({3, 2}, DType::f64), .out = out}), Error);
  EXPECT_THROW(matmul({.a = a, .b = Tensor({3}), .out = out}), Error);
}

}  // namespace
}  // namespace earmark::kernels
