#include "data/distort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/room.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "tests/data/test_sounds.h"

namespace earmark::data {
namespace {

std::vector<float> noise(std::int64_t samples, std::uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> x(static_cast<std::size_t>(samples));
  for (float& v : x) {
    v = static_cast<float>(0.1 * random.normal());
  }
  return x;
}

double energy(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return sum;
}

DistortWindow window_of(std::int64_t segment, std::int64_t margin = 0) {
  return {kReverbContextSamples, margin, segment, margin};
}

TEST(Distort, NoneOnlyDropsTheContext) {
  const DistortWindow window = window_of(2000, 100);
  const std::vector<float> music = noise(window.total(), 1);
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  distort(music, {}, {}, window, out);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), music.begin() + window.context));
}

TEST(Distort, ReverberationIsAlignedToTheDirectPath) {
  const DistortWindow window = window_of(8000);
  const std::vector<float> music = noise(window.total(), 4);
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  for (const double drr : {5.0, -2.0}) {
    const Rir room = simulate_room({0.5, drr, 3});
    reverberate(music, room, window, out);
    const auto clean = std::span(music).subspan(16000);
    const testing::Alignment found = testing::align(clean, out, 100);
    EXPECT_EQ(found.shift, 0);
    EXPECT_GT(found.correlation, 0.3);
    EXPECT_FLOAT_EQ(std::fabs(*std::max_element(out.begin(), out.end(),
                                                [](float a, float b) { return std::fabs(a) < std::fabs(b); })),
                    1.0F);
  }
}

TEST(Distort, TailsOfEarlierMusicAreHeard) {
  const DistortWindow window = window_of(8000);
  // Sound only in the context: what is heard afterwards is nothing but its reverberation.
  std::vector<float> music = noise(window.total(), 1);
  std::fill(music.begin() + window.context, music.end(), 0.0F);
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  reverberate(music, simulate_room({0.5, 0.0, 1}), window, out);
  const double early = energy(std::span(out).first(1600));
  const double late = energy(std::span(out).subspan(4800, 1600));
  EXPECT_GT(early, 0);
  EXPECT_NEAR(10 * std::log10(early / late), 36, 8);  // 60 dB in 0.5 s: 36 dB in 0.3 s
}

TEST(Distort, AnImpulseGivesTheResponseItself) {
  const DistortWindow window = window_of(4000);
  const Rir room = simulate_room({0.2, 3.0, 1});
  std::vector<float> music(static_cast<std::size_t>(window.total()));
  music[static_cast<std::size_t>(window.context) + 100] = 1;
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  reverberate(music, room, window, out);
  const float peak = room.samples[static_cast<std::size_t>(room.delay)];
  for (std::size_t i = 0; i < 3000; ++i) {
    const std::size_t at = i + static_cast<std::size_t>(room.delay);
    EXPECT_NEAR(out[100 + i], at < room.samples.size() ? room.samples[at] / std::fabs(peak) : 0.0F, 2e-5) << i;
  }
}

TEST(Distort, NoiseAloneMeetsItsRatioOverTheSegmentOnly) {
  const DistortWindow window = window_of(3000, 256);
  std::vector<float> music = noise(window.total(), 1);
  // Loud margins must not count.
  for (std::int64_t i = 0; i < 256; ++i) {
    music[static_cast<std::size_t>(window.context + i)] *= 30;
    music[static_cast<std::size_t>(window.total() - 1 - i)] *= 30;
  }
  const std::vector<float> disturbance = noise(window.total(), 2);
  std::vector<float> out(static_cast<std::size_t>(window.kept()));
  for (const double snr : {0.0, 5.0, 20.0}) {
    distort(music, disturbance, {DistortionKind::noise, snr}, window, out);
    std::vector<float> added(3000);
    for (std::size_t i = 0; i < added.size(); ++i) {
      added[i] = out[256 + i] - music[16256 + i];
    }
    const double got = 10 * std::log10(energy(std::span(music).subspan(16256, 3000)) / energy(added));
    EXPECT_NEAR(got, snr, 1e-3);
  }
}

TEST(Distort, NoiseInARoomGoesThroughTheSameRoomAndMeetsTheRatioThere) {
  const DistortWindow window = window_of(6000);
  const std::vector<float> music = testing::melody(22000.0 / 16000);
  const std::vector<float> disturbance = noise(window.total(), 2);
  const Rir room = simulate_room({0.4, 0.0, 5});
  std::vector<float> heard(6000);
  std::vector<float> wet_music(6000);
  std::vector<float> wet_noise(6000);
  reverberate(music, room, window, wet_music);
  reverberate(disturbance, room, window, wet_noise);
  distort(music, disturbance, {DistortionKind::noise_reverb, 7.0, &room}, window, heard);
  std::vector<float> added(6000);
  for (std::size_t i = 0; i < added.size(); ++i) {
    added[i] = heard[i] - wet_music[i];
  }
  EXPECT_NEAR(10 * std::log10(energy(wet_music) / energy(added)), 7, 1e-3);
  const testing::Alignment same = testing::align(wet_noise, added, 5);
  EXPECT_EQ(same.shift, 0);
  EXPECT_GT(same.correlation, 0.9999);
}

TEST(Distort, PreparedSpectraChangeNothing) {
  const DistortWindow window = window_of(15360, 256);
  RirBank bank;
  bank.add(simulate_room({0.7, 3.0, 1}));
  bank.prepare(window.total(), window.context);
  const std::vector<float> music = noise(window.total(), 1);
  std::vector<float> a(static_cast<std::size_t>(window.kept()));
  std::vector<float> b = a;
  reverberate(music, bank.rir(0), window, a);
  reverberate(music, bank.rir(0), window, b, &bank.spectrum(0));
  EXPECT_EQ(a, b);
}

TEST(Distort, LongQueriesEqualTheirParts) {
  // Ten seconds go through overlapping blocks; a stretch of them alone, with enough context, gives the same sound.
  const Rir room = simulate_room({0.5, 0.0, 2});
  const DistortWindow whole = window_of(160000);
  const std::vector<float> music = noise(whole.total(), 3);
  std::vector<float> all(160000);
  reverberate(music, room, whole, all);
  const DistortWindow part = window_of(20000);
  std::vector<float> some(20000);
  reverberate(std::span(music).subspan(100000, static_cast<std::size_t>(part.total())), room, part, some);
  const float scale = all[105000] / some[5000];
  for (std::size_t i = 0; i < 19000;
       ++i) {  // the last stretch lacks what the whole goes on with: the early reflections
    ASSERT_NEAR(some[i] * scale, all[100000 + i], 1e-4) << i;
  }
}

TEST(Distort, SilenceStaysSilentAndFinite) {
  const DistortWindow window = window_of(1000);
  const std::vector<float> silence(static_cast<std::size_t>(window.total()));
  const Rir room = simulate_room({0.3, 0.0, 1});
  std::vector<float> out(1000);
  distort(silence, silence, {DistortionKind::noise_reverb, 0, &room}, window, out);
  for (const float v : out) {
    EXPECT_EQ(v, 0);
  }
}

TEST(Distort, WrongLengthsAreRefused) {
  const DistortWindow window = window_of(1000);
  std::vector<float> music(static_cast<std::size_t>(window.total()));
  std::vector<float> out(1000);
  EXPECT_THROW(distort(std::span(music).first(5), {}, {}, window, out), Error);
  EXPECT_THROW(distort(music, {}, {DistortionKind::noise, 0}, window, out), Error);
  EXPECT_THROW(distort(music, {}, {DistortionKind::reverb, 0}, window, out), Error);
  EXPECT_THROW(distort(music, {}, {}, window, std::span(out).first(9)), Error);
}

}  // namespace
}  // namespace earmark::data
