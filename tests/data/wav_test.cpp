#include "data/wav.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.h"
#include "tests/data/test_sounds.h"
#include "tests/test_support.h"

namespace earmark::data {
namespace {

TEST(Wav, HeaderIsTheCanonicalOne) {
  const testing::TemporaryFolder folder;
  write_wav(folder / "x.wav", std::vector<float>{0.0F, 1.0F, -1.0F, 0.5F}, 8000, WavFormat::pcm16, 2);
  const std::string bytes = testing::read_text(folder / "x.wav");
  ASSERT_EQ(bytes.size(), 52U);
  const std::string wanted(
      "RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x40\x1f\0\0\0\x7d\0\0\x04\0\x10\0data\x08\0\0\0", 44);
  EXPECT_EQ(bytes.substr(0, 44), wanted);
  EXPECT_EQ(bytes.substr(44), std::string("\0\0\xff\x7f\x01\x80\0\x40", 8));
}

TEST(Wav, SamplesAreRoundedAndClipped) {
  EXPECT_EQ(to_int16(0.0F), 0);
  EXPECT_EQ(to_int16(2.0F), 32767);
  EXPECT_EQ(to_int16(-2.0F), -32768);
  EXPECT_EQ(to_int16(1.4F / 32767), 1);
  EXPECT_EQ(to_int16(std::numeric_limits<float>::quiet_NaN()), 0);
  EXPECT_EQ(to_int16(std::numeric_limits<float>::infinity()), 32767);
  for (const std::int16_t v : {-32767, -1, 0, 1, 12345, 32767}) {
    EXPECT_EQ(to_int16(from_int16(v)), v);
  }
}

TEST(Wav, BadArgumentsAreRefused) {
  const testing::TemporaryFolder folder;
  EXPECT_THROW(write_wav(folder / "x.wav", std::vector<float>(3), 16000, WavFormat::pcm16, 2), Error);
  EXPECT_THROW(write_wav(folder / "x.wav", std::vector<float>(2), 0), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "x.wav"));
}

}  // namespace
}  // namespace earmark::data
