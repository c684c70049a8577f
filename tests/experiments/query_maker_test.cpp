// Query sets: the same for any number of threads, loud everywhere, distorted as their rows say.
#include "experiments/query_maker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "data/composer.h"
#include "data/decode.h"
#include "data/wav.h"
#include "experiments/repeats.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/test_support.h"

namespace earmark::experiments {
namespace {

using earmark::testing::bytes_of;
using earmark::testing::TemporaryFolder;

double mean_square(const std::vector<float>& samples) {
  double energy = 0;
  for (const float sample : samples) {
    energy += static_cast<double>(sample) * static_cast<double>(sample);
  }
  return energy / static_cast<double>(samples.size());
}

// Three pieces of which one is silent but for its last two seconds, and one file that is no sound.
class QueryMaker : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(music_ / "a folder");
    data::write_wav(music_ / "a folder" / "one.wav", data::compose(1, 8));
    data::write_wav(music_ / "two.wav", data::compose(2, 6));
    std::vector<float> quiet = data::compose(3, 6);
    std::fill(quiet.begin(), quiet.begin() + 4 * 16000, 0.0F);
    data::write_wav(music_ / "quiet.wav", quiet);
    std::ofstream(music_ / "broken.wav") << "this is no sound";
    tracks_ = data::list_audio_files(music_.path());
    options_.excerpts = 6;
    options_.length_s = 1;
    options_.rooms = 1;
  }

  TemporaryFolder music_;
  TemporaryFolder out_;
  std::vector<data::AudioFile> tracks_;
  QueryOptions options_;
};

TEST_F(QueryMaker, IsTheSameForAnyNumberOfThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const QuerySet one = make_queries(out_ / "one", tracks_, options_);
  set_num_threads(3);
  make_queries(out_ / "three", tracks_, options_);
  set_num_threads(before);
  EXPECT_EQ(bytes_of(out_ / "one" / "queries.csv"), bytes_of(out_ / "three" / "queries.csv"));
  for (const Query& query : one.queries) {
    ASSERT_EQ(bytes_of(out_ / "one" / query.path.string()), bytes_of(out_ / "three" / query.path.string())) << query.id;
  }
}

TEST_F(QueryMaker, AsksEachExcerptInEveryCondition) {
  const QuerySet set = make_queries(out_.path(), tracks_, options_);
  ASSERT_EQ(set.queries.size(), 6U * 14U);
  std::set<std::string> ids;
  for (const Query& query : set.queries) {
    ids.insert(query.id);
    const std::vector<float> sound = data::decode_audio(out_.path() / query.path);
    EXPECT_EQ(sound.size(), 16000U);
    EXPECT_GT(mean_square(sound), options_.silence_mean_square) << query.id;
    EXPECT_NE(query.track, "broken.wav");
    EXPECT_EQ(query.noise_kind.empty(), !query.snr_db.has_value()) << query.id;
  }
  EXPECT_EQ(ids.size(), set.queries.size());
}

TEST_F(QueryMaker, CleanQueriesAreTheTrackFromTheirStartOn) {
  const QuerySet set = make_queries(out_.path(), tracks_, options_);
  for (const Query& query : set.queries) {
    if (query.condition != "clean") {
      continue;
    }
    const std::vector<float> sound = data::decode_audio(out_.path() / query.path);
    const std::vector<float> track = data::decode_audio(music_.path() / query.track);
    const auto start = static_cast<std::size_t>(std::llround(query.start_s * 16000));
    for (std::size_t i = 0; i < sound.size(); ++i) {
      ASSERT_NEAR(sound[i], track[start + i], 2e-4) << query.id << " sample " << i;
    }
  }
}

TEST_F(QueryMaker, NoiseIsAtTheRatioItClaims) {
  const QuerySet set = make_queries(out_.path(), tracks_, options_);
  for (std::size_t excerpt = 0; excerpt < 6; ++excerpt) {
    const std::vector<float> clean = data::decode_audio(out_.path() / set.queries[excerpt * 14].path);
    const Query& noisy = set.queries[excerpt * 14 + 3];
    ASSERT_EQ(noisy.condition, "noise");
    const std::vector<float> sound = data::decode_audio(out_.path() / noisy.path);
    // Least squares: sound = gain · clean + noise.
    double cross = 0;
    for (std::size_t i = 0; i < sound.size(); ++i) {
      cross += static_cast<double>(sound[i]) * static_cast<double>(clean[i]);
    }
    const double gain = cross / (mean_square(clean) * static_cast<double>(clean.size()));
    double noise = 0;
    for (std::size_t i = 0; i < sound.size(); ++i) {
      const double rest = static_cast<double>(sound[i]) - gain * static_cast<double>(clean[i]);
      noise += rest * rest / static_cast<double>(sound.size());
    }
    EXPECT_NEAR(10 * std::log10(gain * gain * mean_square(clean) / noise), *noisy.snr_db, 1) << noisy.id;
  }
}

TEST_F(QueryMaker, KeepsASetOfTheSameInputs) {
  int kept = -1;
  make_queries(out_.path(), tracks_, options_, &kept);
  EXPECT_EQ(kept, 0);
  const QuerySet again = make_queries(out_.path(), tracks_, options_, &kept);
  EXPECT_EQ(kept, 6);
  EXPECT_EQ(again.queries.size(), 6U * 14U);
  ++options_.seed;
  make_queries(out_.path(), tracks_, options_, &kept);
  EXPECT_EQ(kept, 0);
}

TEST_F(QueryMaker, GoesOnWhereItWasCutOff) {
  const QuerySet whole = make_queries(out_ / "whole", tracks_, options_);
  // What a run leaves that was killed after two excerpts, and in the middle of a third.
  const std::filesystem::path cut = out_ / "cut";
  std::filesystem::create_directories(cut / "excerpts");
  std::filesystem::copy_file(out_ / "whole" / "inputs.txt", cut / "inputs.txt");
  for (const int excerpt : {1, 4}) {
    const auto first = whole.queries.begin() + excerpt * 14;
    const std::vector<Query> queries(first, first + 14);
    write_queries(cut / "excerpts" / str("000", excerpt, ".csv"), queries);
    for (const Query& query : queries) {
      std::ofstream(cut / query.path) << "not made again";
    }
  }
  std::ofstream(cut / whole.queries[0].path) << "cut off";
  int kept = -1;
  const QuerySet completed = make_queries(cut, tracks_, options_, &kept);
  EXPECT_EQ(kept, 2);
  EXPECT_EQ(bytes_of(cut / "queries.csv"), bytes_of(out_ / "whole" / "queries.csv"));
  EXPECT_EQ(bytes_of(cut / whole.queries[0].path), bytes_of(out_ / "whole" / whole.queries[0].path.string()));
  EXPECT_EQ(bytes_of(cut / whole.queries[14].path), "not made again");
  EXPECT_FALSE(std::filesystem::exists(cut / "excerpts"));
}

TEST_F(QueryMaker, SaysHowOftenTheMusicRepeatsItself) {
  const TemporaryFolder looped;
  std::vector<float> loop = data::compose(5, 4);
  loop.resize(2 * loop.size());
  std::copy_n(loop.begin(), loop.size() / 2, loop.begin() + static_cast<std::ptrdiff_t>(loop.size() / 2));
  data::write_wav(looped / "loop.wav", loop);
  const QuerySet set = make_queries(out_.path(), data::list_audio_files(looped.path()), options_);
  int same = 0;
  for (const Query& query : set.queries) {
    ASSERT_EQ(query.repeats.size(), 1U) << "only 0.96 s is shorter than a query";
    EXPECT_EQ(query.repeats[0].length_s, 0.96);
    if (query.start_s + 1 < 4 || query.start_s > 4) {
      EXPECT_GT(query.repeats[0].correlation, kSameSound) << query.start_s;
    }
    same += query.repeats[0].correlation > kSameSound ? 1 : 0;
  }
  const std::vector<RepeatShare> shares = repeat_shares(set);
  ASSERT_EQ(shares.size(), 1U);
  EXPECT_EQ(shares[0].same.count, 6) << "an excerpt counts once";
  EXPECT_EQ(14 * shares[0].same.hits, same);
  EXPECT_GE(shares[0].same.hits, 3);
  EXPECT_GE(shares[0].similar.hits, shares[0].same.hits);
  EXPECT_TRUE(repeat_shares({"", {Query{}}}).empty()) << "not known";
}

TEST_F(QueryMaker, SaysWhenNothingIsLoudEnough) {
  std::vector<data::AudioFile> silent;
  data::write_wav(music_ / "silence.wav", std::vector<float>(5 * 16000, 0.0F));
  for (const data::AudioFile& file : data::list_audio_files(music_.path())) {
    if (file.name == "silence.wav") {
      silent.push_back(file);
    }
  }
  ASSERT_EQ(silent.size(), 1U);
  EXPECT_THROW(make_queries(out_.path(), silent, options_), Error);
  EXPECT_THROW(make_queries(out_.path(), {}, options_), Error);
}

}  // namespace
}  // namespace earmark::experiments
