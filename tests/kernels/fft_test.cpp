#include "kernels/fft.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "kernels/error.h"
#include "kernels/random.h"
#include "kernels/tensor.h"

namespace earmark::kernels {
namespace {

using Complex = std::complex<double>;

std::vector<Complex> naive_dft(const std::vector<Complex>& x, int sign) {
  const std::size_t n = x.size();
  std::vector<Complex> out(n);
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t j = 0; j < n; ++j) {
      const double angle = sign * 2 * std::numbers::pi * static_cast<double>(k * j % n) / static_cast<double>(n);
      out[k] += x[j] * Complex(std::cos(angle), std::sin(angle));
    }
  }
  return out;
}

std::vector<Complex> random_signal(std::int64_t n, bool real) {
  RandomStream random(5, 0, static_cast<std::uint64_t>(n));
  std::vector<Complex> x(static_cast<std::size_t>(n));
  for (Complex& v : x) {
    v = {random.normal(), real ? 0 : random.normal()};
  }
  return x;
}

class FftSizes : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(FftSizes, ComplexMatchesTheDefinitionBothWays) {
  const std::int64_t n = GetParam();
  const std::vector<Complex> x = random_signal(n, false);
  const Tensor in({n, 2});
  const Tensor out({n, 2});
  auto* from = reinterpret_cast<std::complex<float>*>(in.mutable_data<float>());
  auto* to = reinterpret_cast<std::complex<float>*>(out.mutable_data<float>());
  const Fft fft(n);
  for (const int sign : {-1, 1}) {
    for (std::int64_t i = 0; i < n; ++i) {
      from[i] = std::complex<float>(x[static_cast<std::size_t>(i)]);
    }
    sign < 0 ? fft.forward(from, to) : fft.inverse(from, to);
    const std::vector<Complex> wanted = naive_dft(x, sign);
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_LT(std::abs(Complex(to[i]) - wanted[static_cast<std::size_t>(i)]), 2e-5 * std::sqrt(n) + 1e-5) << i;
    }
  }
}

TEST_P(FftSizes, RealMatchesTheDefinition) {
  const std::int64_t n = GetParam();
  const std::vector<Complex> x = random_signal(n, true);
  const Tensor in({n});
  const Tensor out({n / 2 + 1, 2});
  for (std::int64_t i = 0; i < n; ++i) {
    in.mutable_data<float>()[i] = static_cast<float>(x[static_cast<std::size_t>(i)].real());
  }
  const auto* bins = reinterpret_cast<const std::complex<float>*>(out.data<float>());
  RealFft(n).forward(in.mutable_data<float>(), reinterpret_cast<std::complex<float>*>(out.mutable_data<float>()));
  const std::vector<Complex> wanted = naive_dft(x, -1);
  for (std::int64_t k = 0; k <= n / 2; ++k) {
    EXPECT_LT(std::abs(Complex(bins[k]) - wanted[static_cast<std::size_t>(k)]), 2e-5 * std::sqrt(n) + 1e-5) << k;
  }
}

TEST_P(FftSizes, RealThereAndBackIsNTimes) {
  const std::int64_t n = GetParam();
  const std::vector<Complex> x = random_signal(n, true);
  const Tensor time({n});
  const Tensor bins({n / 2 + 1, 2});
  for (std::int64_t i = 0; i < n; ++i) {
    time.mutable_data<float>()[i] = static_cast<float>(x[static_cast<std::size_t>(i)].real());
  }
  const RealFft fft(n);
  auto* spectrum = reinterpret_cast<std::complex<float>*>(bins.mutable_data<float>());
  fft.forward(time.mutable_data<float>(), spectrum);
  fft.inverse(spectrum, time.mutable_data<float>());
  for (std::int64_t i = 0; i < n; ++i) {
    EXPECT_NEAR(time.data<float>()[i] / static_cast<float>(n), x[static_cast<std::size_t>(i)].real(), 1e-5) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, FftSizes, ::testing::Values(8, 16, 24, 32, 96, 512, 768, 1024));

TEST(Fft, GoodSizesAreSmallestOfTheirKind) {
  EXPECT_EQ(good_fft_size(1), 8);
  EXPECT_EQ(good_fft_size(512), 512);
  EXPECT_EQ(good_fft_size(513), 768);
  EXPECT_EQ(good_fft_size(769), 1024);
  EXPECT_EQ(good_fft_size(31872), 32768);
}

TEST(Fft, RefusesImpossibleSizes) {
  EXPECT_THROW(Fft(1), Error);
  EXPECT_THROW(RealFft(10), Error);
}

TEST(Fft, ThreadPlansAreReused) { EXPECT_EQ(&thread_real_fft(64), &thread_real_fft(64)); }

}  // namespace
}  // namespace earmark::kernels
