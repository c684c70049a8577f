#include "kernels/mix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "kernels/random.h"

namespace earmark::kernels {
namespace {

Tensor noisy_rows(std::int64_t rows, std::int64_t samples, std::uint64_t seed, double amplitude = 1) {
  RandomStream random(seed);
  const Tensor x({rows, samples});
  for (std::int64_t i = 0; i < rows * samples; ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(amplitude * random.normal());
  }
  return x;
}

double energy(const float* x, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  return sum;
}

TEST(Mix, MeetsTheRatioOverItsRange) {
  const Tensor signal = noisy_rows(3, 1003, 1, 0.3);
  const Tensor disturbance = noisy_rows(3, 1003, 2, 5);
  const Tensor out({3, 1003});
  const std::vector<float> wanted = {0, 7.5, -13};
  mix_at_snr({signal, disturbance, Tensor::from<float>({3}, wanted), 100, 905, out});
  for (std::int64_t row = 0; row < 3; ++row) {
    std::vector<float> added(1003);
    for (std::int64_t i = 0; i < 1003; ++i) {
      added[static_cast<std::size_t>(i)] = out.data<float>()[row * 1003 + i] - signal.data<float>()[row * 1003 + i];
    }
    const double got =
        10 * std::log10(energy(signal.data<float>() + row * 1003, 100, 905) / energy(added.data(), 100, 905));
    EXPECT_NEAR(got, wanted[static_cast<std::size_t>(row)], 1e-4);
    // The same gain outside the measured range.
    const float gain = added[500] / disturbance.data<float>()[row * 1003 + 500];
    EXPECT_NEAR(added[3] / disturbance.data<float>()[row * 1003 + 3], gain, 1e-3 * gain);
  }
}

TEST(Mix, WorksInPlace) {
  const Tensor signal = noisy_rows(1, 64, 1);
  const Tensor copy = signal.clone();
  const Tensor disturbance = noisy_rows(1, 64, 2);
  const Tensor snr = Tensor::full({1}, 3);
  const Tensor out({1, 64});
  mix_at_snr({copy, disturbance, snr, 0, 64, out});
  mix_at_snr({signal, disturbance, snr, 0, 64, signal});
  EXPECT_TRUE(std::ranges::equal(out.values<float>(), signal.values<float>()));
}

TEST(Mix, SilenceOnEitherSideLeavesTheSignal) {
  const Tensor signal = noisy_rows(1, 64, 1);
  const Tensor zeros = Tensor::zeros({1, 64});
  const Tensor snr = Tensor::full({1}, 0);
  const Tensor out({1, 64});
  mix_at_snr({signal, zeros, snr, 0, 64, out});
  EXPECT_TRUE(std::ranges::equal(out.values<float>(), signal.values<float>()));
  mix_at_snr({zeros, signal, snr, 0, 64, out});
  EXPECT_EQ(energy(out.data<float>(), 0, 64), 0);
}

TEST(Mix, PeakIsNormalisedAndSilenceStays) {
  const Tensor x = Tensor::zeros({2, 5});
  x.mutable_data<float>()[1] = -0.25F;
  x.mutable_data<float>()[2] = 0.125F;
  peak_normalize({x, 0.5F});
  EXPECT_FLOAT_EQ(x.data<float>()[1], -0.5F);
  EXPECT_FLOAT_EQ(x.data<float>()[2], 0.25F);
  EXPECT_EQ(energy(x.data<float>(), 5, 10), 0);
}

TEST(Mix, BadArgumentsAreRefused) {
  const Tensor x({1, 10});
  const Tensor snr({1});
  EXPECT_THROW(mix_at_snr({x, Tensor({1, 9}), snr, 0, 10, x}), Error);
  EXPECT_THROW(mix_at_snr({x, x, snr, 5, 5, x}), Error);
  EXPECT_THROW(mix_at_snr({x, x, snr, 0, 11, x}), Error);
  EXPECT_THROW(mix_at_snr({x, x, Tensor({2}), 0, 10, x}), Error);
}

}  // namespace
}  // namespace earmark::kernels
