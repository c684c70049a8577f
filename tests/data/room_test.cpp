#include "data/room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

// Noise decaying by 60 dB in rt60, with a direct path in front.
std::vector<float> decaying(double rt60, double direct, double seconds = 2) {
  RandomStream random(1);
  std::vector<float> x(static_cast<std::size_t>(seconds * 16000));
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(random.normal() * std::pow(10, -3 * static_cast<double>(i) / 16000 / rt60));
  }
  x[0] = static_cast<float>(direct);
  return x;
}

TEST(Rir, ReverberationTimeOfAKnownDecay) {
  for (const double rt60 : {0.2, 0.5, 0.9}) {
    EXPECT_NEAR(measure_rt60(decaying(rt60, 5), 16000, 30), rt60, 0.03 * rt60);
    EXPECT_NEAR(measure_rt60(decaying(rt60, 5), 16000, 20), rt60, 0.04 * rt60);
  }
}

TEST(Rir, ReverberationTimeNeedsADecay) {
  EXPECT_THROW(measure_rt60(std::vector<float>(100, 0.0F)), Error);
  EXPECT_THROW(measure_rt60(std::vector<float>{1.0F}), Error);
}

TEST(Rir, DirectRatioOfAKnownResponse) {
  std::vector<float> x(1000, 0.0F);
  x[50] = 1;
  x[50 + 40] = 0.5F;   // 2.5 ms after: still direct
  x[50 + 41] = 0.25F;  // the rest
  x[900] = -0.25F;
  EXPECT_NEAR(direct_to_reverberant_db(x), 10 * std::log10(1.25 / 0.125), 1e-6);
}

TEST(Rir, FilesAreLoadedByTheirFirstChannel) {
  const testing::TemporaryFolder folder;
  std::vector<float> stereo(2000, 0.0F);
  stereo[2 * 30] = 0.5F;
  stereo[2 * 10 + 1] = 0.9F;
  write_wav(folder / "rir.wav", stereo, 16000, WavFormat::float32, 2);
  EXPECT_EQ(load_rir(folder / "rir.wav").delay, 30);
  write_wav(folder / "silent.wav", std::vector<float>(100));
  EXPECT_THROW(load_rir(folder / "silent.wav"), Error);
  RirBank bank;
  bank.add_folder(folder.path());  // without the silent one
  EXPECT_EQ(bank.size(), 1);
  EXPECT_THAT(bank.skipped(), ::testing::ElementsAre((folder / "silent.wav").string() + ": a silent room response"));
  EXPECT_THROW(bank.spectrum(0), Error);
  bank.prepare(2000, 1000);
  EXPECT_TRUE(bank.spectrum(0));
  std::filesystem::remove(folder / "rir.wav");
  EXPECT_THROW(RirBank().add_folder(folder.path()), Error);
}

struct Wish {
  double rt60, drr;
};

class Rooms : public ::testing::TestWithParam<Wish> {};

TEST_P(Rooms, MeetBothWishes) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Rir rir = simulate_room({GetParam().rt60, GetParam().drr, seed});
    EXPECT_NEAR(measure_rt60(rir.samples) / GetParam().rt60, 1, 0.1) << seed;
    EXPECT_NEAR(measure_rt60(rir.samples, 16000, 20) / GetParam().rt60, 1, 0.15) << seed;
    EXPECT_NEAR(direct_to_reverberant_db(rir.samples), GetParam().drr, 1) << seed;
    EXPECT_GT(rir.delay, 5);  // some 20 cm at least
    EXPECT_LT(rir.delay, 800);
    for (const float v : rir.samples) {
      ASSERT_TRUE(std::isfinite(v));
    }
  }
}

// The pairs of the paper's five measured rooms, then the edges.
INSTANTIATE_TEST_SUITE_P(Wishes, Rooms,
                         ::testing::Values(Wish{0.2, 3.8}, Wish{0.4, 4.8}, Wish{0.5, -3.2}, Wish{0.7, 3.0},
                                           Wish{0.8, -5.4}, Wish{0.15, -7}, Wish{0.15, 7}, Wish{0.9, 7}, Wish{1.5, 0}));

TEST(Room, SeedsGiveDifferentRoomsAndTheSameAgain) {
  EXPECT_EQ(simulate_room({0.5, 0.0, 1}).samples, simulate_room({0.5, 0.0, 1}).samples);
  EXPECT_NE(simulate_room({0.5, 0.0, 1}).samples, simulate_room({0.5, 0.0, 2}).samples);
}

TEST(Room, WithoutAWishedRatioTheRoomDecides) {
  const double a = direct_to_reverberant_db(simulate_room({0.5, std::nullopt, 1}).samples);
  const double b = direct_to_reverberant_db(simulate_room({0.5, std::nullopt, 2}).samples);
  EXPECT_GT(std::fabs(a - b), 0.01);
  EXPECT_LT(std::fabs(a), 25);
}

TEST(Room, ImpossibleWishesAreRefused) {
  EXPECT_THROW(simulate_room({0.01, 0.0, 1}), Error);
  EXPECT_THROW(simulate_room({0.5, 40.0, 1}), Error);
  EXPECT_THROW(simulate_rooms(-1, 1), Error);
}

TEST(Room, ManyRoomsDoNotDependOnThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const RirBank one = simulate_rooms(12, 3);
  set_num_threads(3);
  const RirBank three = simulate_rooms(12, 3);
  set_num_threads(before);
  for (std::int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(one.rir(i).samples, three.rir(i).samples);
    const double rt60 = measure_rt60(one.rir(i).samples);
    EXPECT_GT(rt60, 0.13);
    EXPECT_LT(rt60, 1.0);
  }
}

}  // namespace
}  // namespace earmark::data
