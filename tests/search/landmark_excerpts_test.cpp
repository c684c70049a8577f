// Excerpts that an index of landmarks keeps: which, where they are cut, and their bytes.
#include "search/landmark_excerpts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/composer.h"
#include "kernels/error.h"
#include "tests/search/landmark_index.h"

namespace earmark::search {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kExcerptRate = LandmarkOptions::kSampleRate;

TEST(LandmarkExcerpts, AreQueriesOfTheirTrack) {
  const LandmarkOptions options = landmark_setting("best");
  const std::vector<float> pcm = data::compose(5, 45, kExcerptRate);
  const auto excerpts = excerpts_of(pcm, options, 4);
  ASSERT_EQ(excerpts.size(), 4U);
  const std::vector<Landmark> track = landmarks(pcm, options);
  for (const std::vector<Landmark>& excerpt : excerpts) {
    ASSERT_FALSE(excerpt.empty());
    EXPECT_TRUE(std::is_sorted(excerpt.begin(), excerpt.end()));
    EXPECT_GE(excerpt.front().frame, 0);
    EXPECT_LE(excerpt.back().frame, 10 * kExcerptRate / 256 + 1);
    EXPECT_GT(excerpt.size() * 45, track.size() * 10) << "of several shifts, so more than the track's share";
  }
  EXPECT_NE(excerpts[0], excerpts[1]);
  EXPECT_THAT(excerpts_of(pcm, options, 2), ElementsAre(excerpts[0], excerpts[1]));
  EXPECT_EQ(excerpts_of(std::span(pcm).first(25 * kExcerptRate), options, 4).size(), 2U);
  EXPECT_THAT(excerpts_of(pcm, options, 0), IsEmpty());
  const std::span<const float> brief = std::span(pcm).first(3 * kExcerptRate);
  EXPECT_THAT(excerpts_of(brief, options, 4), ElementsAre(query_landmarks(brief, options)));
}

TEST(LandmarkExcerpts, FewerAreWantedOfManyFiles) {
  const std::string low = "00000001" + std::string(24, 'f');
  const std::string high = "fffffff1" + std::string(24, '0');
  EXPECT_EQ(wanted_excerpts(high, 0), 4);
  EXPECT_EQ(wanted_excerpts(high, 100), 4);
  EXPECT_EQ(wanted_excerpts(high, 200), 2);
  EXPECT_EQ(wanted_excerpts(high, 400), 1);
  EXPECT_EQ(wanted_excerpts(high, 700), 1);
  EXPECT_EQ(wanted_excerpts(high, 1000), 0);
  EXPECT_EQ(wanted_excerpts(low, 1000000), 1);
}

TEST(LandmarkExcerpts, BytesAndBack) {
  const std::vector<Landmark> excerpt = random_landmarks(500, 3);
  const std::string bytes = bytes_of(excerpt);
  EXPECT_EQ(bytes.size(), 4 * excerpt.size() + 8);
  EXPECT_EQ(excerpt_in(bytes), excerpt);
  EXPECT_THAT(excerpt_in(bytes_of(std::vector<Landmark>{})), IsEmpty());
  for (const std::size_t at : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    EXPECT_THROW(excerpt_in(damaged), Error) << at;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, bytes.size() - 4, bytes.size() - 1}) {
    EXPECT_THROW(excerpt_in(bytes.substr(0, size)), Error) << size;
  }
  EXPECT_THROW(bytes_of(std::vector<Landmark>{{4096, 1}}), Error);
  EXPECT_THROW(bytes_of(std::vector<Landmark>{{-1, 1}}), Error);
  EXPECT_THROW(bytes_of(std::vector<Landmark>{{1, 1U << 20U}}), Error);
}

}  // namespace
}  // namespace earmark::search
