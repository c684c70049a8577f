#include "kernels/reverb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/error.h"
#include "tests/normal_numbers.h"

namespace earmark::kernels {
namespace {

using testing::noise;

std::vector<double> convolution_in_double(const std::vector<float>& x, const std::vector<float>& rir, std::int64_t skip,
                                          std::int64_t delay) {
  const auto samples = static_cast<std::int64_t>(x.size());
  std::vector<double> out;
  for (std::int64_t t = skip + delay; t < samples + delay; ++t) {
    double sum = 0;
    for (std::int64_t k = 0; k < static_cast<std::int64_t>(rir.size()); ++k) {
      if (t - k >= 0 && t - k < samples) {
        sum += static_cast<double>(rir[static_cast<std::size_t>(k)]) *
               static_cast<double>(x[static_cast<std::size_t>(t - k)]);
      }
    }
    out.push_back(sum);
  }
  return out;
}

struct ReverbCase {
  std::int64_t samples, skip, rir, delay, fft_size;  // fft_size 0: as chosen
};

class ReverbCases : public ::testing::TestWithParam<ReverbCase> {};

TEST_P(ReverbCases, EqualsTheLinearConvolution) {
  const ReverbCase c = GetParam();
  const std::vector<float> x = noise(c.samples, 1, 1);
  const std::vector<float> rir = noise(c.rir, 1, 2);
  const std::int64_t size = c.fft_size > 0 ? c.fft_size : reverb_fft_size(c.samples, c.skip, c.rir);
  const Tensor out({1, c.samples - c.skip});
  const RoomResponse room{rir_spectrum(rir, size), c.delay, c.rir};
  reverb({Tensor::from<float>({1, c.samples}, x), std::span(&room, 1), c.skip, out});
  const std::vector<double> wanted = convolution_in_double(x, rir, c.skip, c.delay);
  const double tolerance = 2e-5 * std::sqrt(static_cast<double>(c.rir)) + 1e-5;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_NEAR(out.data<float>()[i], wanted[i], tolerance) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ReverbCases,
                         ::testing::Values(ReverbCase{1000, 300, 200, 13, 0}, ReverbCase{1000, 0, 1, 0, 0},
                                           ReverbCase{50, 20, 400, 399, 0},  // the response is longer than the signal
                                           ReverbCase{3000, 1000, 100, 5, 256},  // many overlapping blocks
                                           ReverbCase{777, 776, 128, 0, 0}, ReverbCase{1, 0, 1, 0, 0}));

TEST(Reverb, RowsAreIndependent) {
  const std::vector<float> rir = noise(64, 1, 3);
  const Tensor x = Tensor::from<float>({2, 100}, noise(200, 1, 4));
  const Tensor both({2, 80});
  const RoomResponse room{rir_spectrum(rir, reverb_fft_size(100, 20, 64)), 3, 64};
  reverb({x, std::span(&room, 1), 20, both});
  const Tensor second({1, 80});
  reverb({x.slice(1, 2), std::span(&room, 1), 20, second});
  for (std::int64_t i = 0; i < 80; ++i) {
    EXPECT_EQ(both.data<float>()[80 + i], second.data<float>()[i]);
  }
}

TEST(Reverb, EachRowMayHaveItsOwnRoom) {
  const Tensor x = Tensor::from<float>({2, 100}, noise(200, 1, 4));
  std::vector<RoomResponse> rooms;
  for (const std::int64_t length : {64, 20}) {
    const std::vector<float> rir = noise(length, 1, static_cast<std::uint64_t>(length));
    rooms.push_back({rir_spectrum(rir, reverb_fft_size(100, 20, length)), length / 3, length});
  }
  const Tensor both({2, 80});
  reverb({x, rooms, 20, both});
  for (std::int64_t row = 0; row < 2; ++row) {
    const Tensor alone({1, 80});
    reverb({x.slice(row, row + 1), std::span(rooms).subspan(static_cast<std::size_t>(row), 1), 20, alone});
    EXPECT_TRUE(std::ranges::equal(alone.values<float>(), both.slice(row, row + 1).values<float>()));
  }
}

TEST(Reverb, TrainingSegmentsTakeOneBlockOf32768) {
  EXPECT_EQ(reverb_fft_size(16000 + 15872, 16000, 16000), 32768);
  EXPECT_LE(reverb_fft_size(16000 * 600, 16000, 16000), 1 << 16);
}

TEST(Reverb, BadArgumentsAreRefused) {
  const std::vector<float> rir(10, 1.0F);
  const std::array<RoomResponse, 2> rooms{{{rir_spectrum(rir, 64), 0, 10}, {rir_spectrum(rir, 64), 10, 10}}};
  const Tensor x({1, 40});
  const Tensor out({1, 30});
  EXPECT_NO_THROW(reverb({x, std::span(rooms).first(1), 10, out}));
  EXPECT_THROW(reverb({x, std::span(rooms).first(1), 5, out}), Error);
  EXPECT_THROW(reverb({x, std::span(rooms).last(1), 10, out}), Error);
  EXPECT_THROW(reverb({x, rooms, 10, out}), Error);
  EXPECT_THROW(reverb({x, {}, 10, out}), Error);
  EXPECT_THROW(rir_spectrum(rir, 8), Error);
  EXPECT_THROW(reverb_fft_size(100, 0, 1 << 18), Error);
}

}  // namespace
}  // namespace earmark::kernels
