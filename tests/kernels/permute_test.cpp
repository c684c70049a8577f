#include "kernels/permute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/parallel.h"

namespace earmark::kernels {
namespace {

/// The definition, one element at a time.
std::vector<std::int64_t> expected(const Shape& shape, std::span<const int> axes) {
  const Shape out = permuted(shape, axes);
  std::vector<std::int64_t> strides(shape.rank(), 1);
  for (std::size_t i = shape.rank(); i-- > 1;) {
    strides[i - 1] = strides[i] * shape[static_cast<int>(i)];
  }
  std::vector<std::int64_t> values;
  for (std::int64_t flat = 0; flat < out.numel(); ++flat) {
    std::int64_t rest = flat;
    std::int64_t from = 0;
    for (std::size_t k = axes.size(); k-- > 0;) {
      const std::int64_t extent = out[static_cast<int>(k)];
      from += rest % extent * strides[static_cast<std::size_t>(axes[k])];
      rest /= extent;
    }
    values.push_back(from);
  }
  return values;
}

template <class T>
void expect_permuted(const Shape& shape, const std::vector<int>& axes) {
  const Tensor x(shape, dtype_of<T>);
  std::iota(x.mutable_data<T>(), x.mutable_data<T>() + x.numel(), T{0});
  const Tensor out(permuted(shape, axes), dtype_of<T>);
  permute(x, axes, out);
  const std::vector<std::int64_t> want = expected(shape, axes);
  for (std::size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(out.data<T>()[i], static_cast<T>(want[i])) << shape << " element " << i;
  }
}

TEST(Permute, MatchesItsDefinitionForEveryOrderOfFourAxes) {
  std::vector<int> axes{0, 1, 2, 3};
  do {
    expect_permuted<std::int32_t>({3, 5, 1, 37}, axes);
    expect_permuted<std::int64_t>({2, 33, 4, 3}, axes);
  } while (std::ranges::next_permutation(axes).found);
}

TEST(Permute, HandlesSixAxesAndEveryElementSize) {
  expect_permuted<std::int16_t>({2, 3, 4, 2, 3, 5}, {4, 1, 5, 0, 3, 2});
  expect_permuted<std::int8_t>({2, 3, 2, 2, 1, 5}, {5, 4, 3, 2, 1, 0});
  expect_permuted<float>({64, 70, 41}, {2, 1, 0});
  expect_permuted<double>({300, 257}, {1, 0});
  expect_permuted<float>({40, 30, 50}, {1, 0, 2});
}

TEST(Permute, HandlesScalarsAndNothing) {
  expect_permuted<float>({}, {});
  expect_permuted<float>({1, 1}, {1, 0});
  expect_permuted<float>({0, 3}, {1, 0});
}

TEST(Permute, JoinsAxesThatStayTogether) {
  const std::vector<int> axes{0, 3, 1, 2};  // N F T C -> N C F T: one transposition of (F T) and C per sample
  const PermutePlan plan = plan_permute({8, 4, 6, 16}, axes);
  EXPECT_EQ(plan.rank, 3U);
  EXPECT_EQ(plan.extent[2], 24);
  EXPECT_EQ(plan.stride[2], 16);
}

TEST(Permute, RefusesWhatIsNoPermutation) {
  const Tensor x({2, 3});
  const std::vector<int> twice{0, 0};
  const std::vector<int> too_few{0};
  const std::vector<int> negative{0, -1};
  const std::vector<int> swap{1, 0};
  EXPECT_THROW(permute(x, twice, x), Error);
  EXPECT_THROW(permute(x, too_few, x), Error);
  EXPECT_THROW(permute(x, negative, x), Error);
  EXPECT_THROW(permute(x, swap, Tensor({2, 3})), Error);
  EXPECT_THROW(permute(x, swap, Tensor({3, 2}, DType::f64)), Error);
}

}  // namespace
}  // namespace earmark::kernels
