#include "kernels/equalize.h"

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

/// The difference equation itself, in double.
std::vector<double> filtered_in_double(const FilterSection& f, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  for (std::size_t t = 0; t < x.size(); ++t) {
    y[t] = f.b0 * x[t];
    y[t] += t >= 1 ? f.b1 * x[t - 1] - f.a1 * y[t - 1] : 0;
    y[t] += t >= 2 ? f.b2 * x[t - 2] - f.a2 * y[t - 2] : 0;
  }
  return y;
}

std::vector<Equalizer> some_equalizers() {
  std::vector<Equalizer> rows(3);
  rows[0].gain = 0.5F;
  rows[1] = {.gain = 2, .filters = true, .sections = {{{0.2, 0.3, 0.1, -0.5, 0.2}, {1, -2, 1, -1.9, 0.91}}}};
  return rows;
}

TEST(Equalize, FollowsTheDifferenceEquation) {
  const std::vector<Equalizer> rows = some_equalizers();
  const Tensor x = draw({3, 700}, Domain::normal, DType::f32, 3);
  const Tensor y = x.clone();
  equalize({y, rows});
  for (std::int64_t row = 0; row < 3; ++row) {
    std::vector<double> wanted;
    for (std::int64_t t = 0; t < 700; ++t) {
      wanted.push_back(static_cast<double>(rows[static_cast<std::size_t>(row)].gain * x.data<float>()[row * 700 + t]));
    }
    for (const FilterSection& section : rows[static_cast<std::size_t>(row)].sections) {
      wanted = filtered_in_double(section, wanted);
    }
    for (std::int64_t t = 0; t < 700; ++t) {
      const double want = wanted[static_cast<std::size_t>(t)];
      EXPECT_NEAR(y.data<float>()[row * 700 + t], want, 1e-7 * std::abs(want) + 1e-9) << row << ", " << t;
    }
  }
}

TEST(Equalize, ThreadsDoNotChangeABit) {
  const std::vector<Equalizer> rows = some_equalizers();
  const Tensor one = draw({3, 700}, Domain::normal, DType::f32, 3);
  const Tensor three = one.clone();
  const int before = num_threads();
  set_num_threads(1);
  equalize({one, rows});
  set_num_threads(3);
  equalize({three, rows});
  set_num_threads(before);
  EXPECT_TRUE(std::ranges::equal(one.values<float>(), three.values<float>()));
}

TEST(Equalize, OneEqualizerForEachRow) {
  const std::vector<Equalizer> rows(2);
  EXPECT_THROW(equalize({Tensor({3, 10}), rows}), Error);
  EXPECT_THROW(equalize({Tensor({2}), rows}), Error);
}

}  // namespace
}  // namespace earmark::kernels
