// The composer: same seed, same music; other seed, other music; nothing repeats.
#include "data/composer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::bytes_of;

double correlation(const float* a, const float* b, std::size_t count) {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < count; ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb + 1e-30);
}

TEST(Composer, IsAFunctionOfItsSeed) {
  const std::vector<float> once = compose(7, 3);
  EXPECT_EQ(once.size(), 48000U);
  EXPECT_EQ(once, compose(7, 3));
  EXPECT_NE(once, compose(8, 3));
  EXPECT_EQ(compose_speech(7, 2), compose_speech(7, 2));
}

TEST(Composer, IsLoudFiniteAndWithinRange) {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const std::vector<float> music = compose(seed, 5);
    double energy = 0;
    float peak = 0;
    for (const float sample : music) {
      ASSERT_TRUE(std::isfinite(sample));
      energy += static_cast<double>(sample) * static_cast<double>(sample);
      peak = std::max(peak, std::abs(sample));
    }
    EXPECT_NEAR(peak, 0.8F, 1e-4F) << "seed " << seed;
    EXPECT_GT(std::sqrt(energy / static_cast<double>(music.size())), 0.03) << "seed " << seed;
  }
}

TEST(Composer, NeverPlaysTheSameSecondTwice) {
  const std::vector<float> music = compose(3, 20);
  const std::size_t second = 16000;
  for (std::size_t shift = second / 2; shift + 2 * second < music.size(); shift += 37) {
    ASSERT_LT(correlation(music.data() + second, music.data() + second + shift, second), 0.95) << "shift " << shift;
  }
}

TEST(Composer, RefusesNonsense) {
  EXPECT_THROW(compose(1, 0), Error);
  EXPECT_THROW(compose(1, 1, 0), Error);
  EXPECT_THROW(compose_speech(1, -1), Error);
}

TEST(Composer, FillsAFolderWhateverTheThreads) {
  const earmark::testing::TemporaryFolder folder;
  ComposeOptions options;
  options.tracks = 3;
  options.seconds = 1;
  const int before = num_threads();
  set_num_threads(1);
  EXPECT_EQ(compose_folder(folder / "one", options), 3);
  set_num_threads(3);
  EXPECT_EQ(compose_folder(folder / "three", options), 3);
  set_num_threads(before);
  for (const char* name : {"track-0000.wav", "track-0001.wav", "track-0002.wav"}) {
    const std::string bytes = bytes_of(folder / "one" / name);
    EXPECT_EQ(bytes.size(), 44U + 32000U);
    EXPECT_EQ(bytes, bytes_of(folder / "three" / name));
  }
  EXPECT_EQ(compose_folder(folder / "one", options), 0) << "what is there is kept";
}

}  // namespace
}  // namespace earmark::data
