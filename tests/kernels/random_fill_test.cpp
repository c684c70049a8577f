#include "kernels/random_fill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::kernels {
namespace {

constexpr std::uint64_t kSeed = 0x123456789abcdef0U;
constexpr std::uint64_t kStream = 0xfedcba9876543210U;

std::vector<double> filled(const Shape& shape, Distribution distribution, double scale, DType dtype = DType::f64) {
  const Tensor out = Tensor::full(shape, std::nan(""), dtype);
  random_fill({out, distribution, scale, kSeed, kStream});
  const Tensor exact = out.to(DType::f64);
  return {exact.data<double>(), exact.data<double>() + exact.numel()};
}

/// What the header promises, draw by draw.
std::vector<double> drawn(std::int64_t count, Distribution distribution, double scale) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < count; i += kRandomBlock) {
    RandomStream random(kSeed, kStream, static_cast<std::uint64_t>(i / kRandomBlock));
    for (std::int64_t k = i; k < std::min(count, i + kRandomBlock); ++k) {
      out.push_back(distribution == Distribution::normal ? scale * random.normal() : random.uniform(-scale, scale));
    }
  }
  return out;
}

TEST(RandomFill, IsTheStreamsDrawsBlockByBlock) {
  for (const Distribution distribution : {Distribution::uniform, Distribution::normal}) {
    for (const std::int64_t count : {1, 2, 3, 4095, 4096, 4097, 10001}) {
      EXPECT_EQ(filled({count}, distribution, 0.25), drawn(count, distribution, 0.25)) << count;
    }
  }
}

TEST(RandomFill, FloatsAreTheSameDrawsRounded) {
  const std::vector<double> exact = filled({3, 1700}, Distribution::normal, 2);
  const std::vector<double> rounded = filled({3, 1700}, Distribution::normal, 2, DType::f32);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    EXPECT_EQ(rounded[i], static_cast<double>(static_cast<float>(exact[i])));
  }
}

TEST(RandomFill, HasTheMomentsAndTheRangeThatWereAskedFor) {
  constexpr std::int64_t kCount = 200000;
  for (const Distribution distribution : {Distribution::uniform, Distribution::normal}) {
    double sum = 0;
    double squares = 0;
    double largest = 0;
    for (const double v : filled({kCount}, distribution, 3)) {
      sum += v;
      squares += v * v;
      largest = std::max(largest, std::abs(v));
    }
    const double variance = distribution == Distribution::normal ? 9 : 3;
    EXPECT_NEAR(sum / kCount, 0, 5 * std::sqrt(variance / kCount));
    EXPECT_NEAR(squares / kCount, variance, 0.02 * variance);
    EXPECT_GT(largest, 2.99);
    EXPECT_LE(distribution == Distribution::uniform ? largest : 0, 3);
  }
}

TEST(RandomFill, IsTheSameForAnyNumberOfThreads) {
  const std::vector<double> want = filled({50000}, Distribution::normal, 1);
  const int before = num_threads();
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    EXPECT_EQ(filled({50000}, Distribution::normal, 1), want) << threads;
  }
  set_num_threads(before);
}

TEST(RandomFill, FillsNothingAndRefusesWhatIsNotReal) {
  EXPECT_TRUE(filled({0, 5}, Distribution::normal, 1).empty());
  EXPECT_THAT([] { random_fill({.out = Tensor({4}, DType::i32)}); },
              ::testing::ThrowsMessage<Error>("random_fill: expected f32 or f64, got i32"));
  EXPECT_THAT([] { random_fill({}); },
              ::testing::ThrowsMessage<Error>("random_fill: expected f32 or f64, got no tensor"));
}

}  // namespace
}  // namespace earmark::kernels
