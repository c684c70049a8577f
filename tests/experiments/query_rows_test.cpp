// Shorter queries as beginnings of longer ones: the same fingerprints as if each were a file of its own.
#include "experiments/query_rows.h"

#include <gtest/gtest.h>

#include <random>

#include "data/decode.h"
#include "data/wav.h"
#include "nn/model.h"
#include "tests/program.h"

namespace earmark::experiments {
namespace {

/// Untrained, with windows of 64 ms.
nn::Fingerprinter fingerprinter_of(FeatureOptions::Normalization normalization) {
  FeatureOptions features;
  features.sample_rate = 8000;
  features.f_max = 4000;
  features.hop = 80;
  features.normalization = normalization;
  nn::EncoderOptions encoder;
  encoder.width = 2;
  encoder.convolution_init = nn::ConvolutionInit::kaiming;
  return nn::Fingerprinter(nn::make_model(features, encoder, 5));
}

class QueryRowsTest : public ::testing::TestWithParam<FeatureOptions::Normalization> {
 protected:
  /// Noise of 3.01 s that grows louder: the loudest moment is at its end.
  void SetUp() override {
    std::mt19937 random(3);
    std::vector<float> pcm(24080);
    for (std::size_t i = 0; i < pcm.size(); ++i) {
      const float loudness = static_cast<float>(i) / static_cast<float>(pcm.size());
      pcm[i] = loudness * (static_cast<float>(random() % 2001) / 1000 - 1);
    }
    data::write_wav(folder_ / "query.wav", pcm, 8000);
    Query query;
    query.path = "query.wav";
    set_ = {folder_.path(), {query}};
  }

  earmark::testing::TemporaryFolder folder_;
  QuerySet set_;
};

TEST_P(QueryRowsTest, ABeginningHasTheFingerprintsOfAFileThatEndsThere) {
  const nn::Fingerprinter fingerprinter = fingerprinter_of(GetParam());
  const std::vector<double> lengths_s = {0.96, 1.5, 3};
  const std::vector<std::size_t> queries = {0};
  QueryRows rows(set_, queries, fingerprinter, 10, lengths_s, 4);
  ASSERT_EQ(rows.batches(), 1U);
  const QueryBatch& batch = rows.batch(0);
  const std::vector<float> pcm = data::decode_audio(folder_ / "query.wav", 8000);
  for (std::size_t length = 0; length < lengths_s.size(); ++length) {
    const auto samples = static_cast<std::size_t>(lengths_s[length] * 8000 + 0.5);
    const Tensor alone = fingerprinter.fingerprints(std::span(pcm).first(samples), 10);
    const auto range = batch.ranges.at(0).at(length);
    ASSERT_TRUE(range.has_value());
    ASSERT_EQ(range->second - range->first, alone.dim(0)) << lengths_s[length] << " s";
    const float* const there = batch.rows.data<float>() + range->first * batch.rows.dim(1);
    for (std::int64_t i = 0; i < alone.numel(); ++i) {
      ASSERT_NEAR(there[i], alone.data<float>()[i], 1e-5) << lengths_s[length] << " s";
    }
  }
}

TEST_P(QueryRowsTest, ABeginningIsFingerprintedAgainOnlyWhereItDiffers) {
  const nn::Fingerprinter fingerprinter = fingerprinter_of(GetParam());
  const std::vector<double> lengths_s = {1.51, 3};  // the windows of the first end before it does
  const std::vector<std::size_t> queries = {0};
  QueryRows rows(set_, queries, fingerprinter, 10, lengths_s, 4);
  const std::int64_t whole = fingerprinter.count(24080, 10);
  const std::int64_t beginning = fingerprinter.count(12080, 10);
  const bool relative = GetParam() == FeatureOptions::Normalization::batch_maximum;
  EXPECT_EQ(rows.batch(0).rows.dim(0), relative ? whole + beginning + fingerprinter.count(24000, 10) : whole);
}

INSTANTIATE_TEST_SUITE_P(Normalizations, QueryRowsTest,
                         ::testing::Values(FeatureOptions::Normalization::mean,
                                           FeatureOptions::Normalization::max_relative,
                                           FeatureOptions::Normalization::batch_maximum));

}  // namespace
}  // namespace earmark::experiments
