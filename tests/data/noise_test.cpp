#include "data/noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>

#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/fft.h"
#include "kernels/tensor.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

using testing::TemporaryFolder;

double power(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return sum / static_cast<double>(x.size());
}

// Mean power per bin between two frequencies, dB.
double level(const std::vector<float>& x, double from_hz, double to_hz) {
  const std::int64_t n = 65536;
  const Tensor time({n});
  const Tensor bins({n / 2 + 1, 2});
  std::copy_n(x.begin(), n, time.mutable_data<float>());
  kernels::thread_real_fft(n).forward(time.mutable_data<float>(),
                                      reinterpret_cast<std::complex<float>*>(bins.mutable_data<float>()));
  double sum = 0;
  std::int64_t count = 0;
  for (std::int64_t k = 0; k <= n / 2; ++k) {
    const double hz = static_cast<double>(k) * 16000 / static_cast<double>(n);
    if (hz >= from_hz && hz < to_hz) {
      const double re = static_cast<double>(bins.data<float>()[2 * k]);
      const double im = static_cast<double>(bins.data<float>()[2 * k + 1]);
      sum += re * re + im * im;
      ++count;
    }
  }
  return 10 * std::log10(sum / static_cast<double>(count));
}

TEST(ColoredNoise, FallsAsItsNameSays) {
  const struct {
    NoiseColor color;
    double per_octave;
  } cases[] = {{NoiseColor::white, 0}, {NoiseColor::pink, -3.01}, {NoiseColor::brown, -6.02}};
  for (const auto& c : cases) {
    const std::vector<float> x = colored_noise(c.color, 65536, 1);
    EXPECT_NEAR(power(x), 1, 1e-4);
    const double slope = (level(x, 3900, 4100) - level(x, 243.75, 256.25)) / 4;  // four octaves
    EXPECT_NEAR(slope, c.per_octave, 0.4) << name_of(c.color);
  }
}

TEST(ColoredNoise, IsSeeded) {
  EXPECT_EQ(colored_noise(NoiseColor::pink, 5000, 7), colored_noise(NoiseColor::pink, 5000, 7));
  EXPECT_NE(colored_noise(NoiseColor::pink, 5000, 7), colored_noise(NoiseColor::pink, 5000, 8));
  EXPECT_EQ(colored_noise(NoiseColor::white, 1, 1).size(), 1U);
  EXPECT_EQ(colored_noise(NoiseColor::brown, 300000, 1).size(), 300000U);
  EXPECT_THROW(colored_noise(NoiseColor::white, 0, 1), Error);
}

TEST(Babble, MixesVoicesAtEqualLevel) {
  // Voices are sines of different level; one starts with a pause, which is cut out.
  std::vector<std::vector<float>> speech = {testing::sine(500, 1), testing::sine(1500, 1)};
  for (float& v : speech[1]) {
    v *= 0.01F;
  }
  speech[1].insert(speech[1].begin(), 16000, 0.0F);
  const std::vector<float> babble = mix_babble(speech, 40, 65536, 1);
  EXPECT_NEAR(power(babble), 1, 1e-4);
  EXPECT_NEAR(level(babble, 400, 600) - level(babble, 1400, 1600), 0, 8);
  EXPECT_EQ(babble, mix_babble(speech, 40, 65536, 1));
  EXPECT_NE(babble, mix_babble(speech, 40, 65536, 2));
}

TEST(Babble, SilentSpeechIsRefused) {
  const std::vector<std::vector<float>> speech = {std::vector<float>(1000, 0.0F)};
  EXPECT_THROW(mix_babble(speech, 2, 100, 1), Error);
}

TEST(NoiseBank, LoadsFoldersAndListsWhatItSkips) {
  const TemporaryFolder folder;
  write_wav(folder / "a.wav", testing::melody(1));
  write_wav(folder / "silent.wav", std::vector<float>(16000));
  testing::write_text(folder / "broken.mp3", "no sound");
  NoiseBank bank;
  bank.add_recordings(folder.path());
  ASSERT_EQ(bank.size(), 1);
  EXPECT_EQ(bank.name(0), "a.wav");
  EXPECT_EQ(bank.skipped().size(), 2U);
  std::filesystem::remove(folder / "a.wav");
  EXPECT_THROW(NoiseBank().add_recordings(folder.path()), Error);
}

TEST(NoiseBank, BabbleFromAFolder) {
  const TemporaryFolder folder;
  write_wav(folder / "a.wav", testing::melody(1, 16000, 1));
  write_wav(folder / "b.wav", testing::melody(1, 16000, 2));
  NoiseBank bank;
  bank.add_babble(folder.path(), 3, 2, 1.5, 9);
  ASSERT_EQ(bank.size(), 2);
  EXPECT_EQ(bank.samples(0).size(), 24000U);
  EXPECT_FALSE(std::ranges::equal(bank.samples(0), bank.samples(1)));
}

TEST(NoiseBank, CutsGoOnFromTheBeginning) {
  NoiseBank bank;
  bank.add(std::vector<float>{1, -2, 4}, "abc");  // scaled to full range
  std::vector<std::int16_t> out(7);
  bank.copy({0, 2}, out);
  EXPECT_EQ(out, (std::vector<std::int16_t>{32767, 8192, -16384, 32767, 8192, -16384, 32767}));
  EXPECT_THROW(bank.add(std::vector<float>(3), "silent"), Error);
}

TEST(NoiseBank, DrawsEveryNoiseEquallyOften) {
  NoiseBank bank;
  bank.add(std::vector<float>(10, 1.0F), "short");
  bank.add(std::vector<float>(100000, 1.0F), "long");
  int first = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    RandomStream random(1, 0, i);
    const NoiseBank::Cut cut = bank.draw(random);
    first += cut.noise == 0 ? 1 : 0;
    EXPECT_LT(cut.start, static_cast<std::int64_t>(bank.samples(cut.noise).size()));
  }
  EXPECT_NEAR(first, 500, 80);
  RandomStream random(1);
  EXPECT_THROW(NoiseBank().draw(random), Error);
}

}  // namespace
}  // namespace earmark::data
