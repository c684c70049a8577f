// Validation by several processes is one process's: the same embeddings, to the bit, and the same hit rate.
#include "train/validation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/compare_tensors.h"
#include "tests/ranks.h"
#include "tests/train/example_run.h"

namespace earmark::train {
namespace {

using earmark::testing::same_bits;

class Validation : public ::testing::Test {
 protected:
  nn::Model model() const { return nn::make_model(options_.features, options_.encoder, 3); }
  static void expect_same(const HitRate& found, const HitRate& expected, int size) {
    EXPECT_EQ(found.segment, expected.segment) << size << " ranks";
    EXPECT_EQ(found.track, expected.track) << size << " ranks";
    EXPECT_EQ(found.queries, expected.queries);
    EXPECT_EQ(found.database, expected.database);
  }

  const TrainOptions options_ = tiny_options();
  const TrainingData data_ = tiny_data(options_);
};

TEST_F(Validation, OfSeveralRanksIsThatOfOne) {
  const HitRate one = validate(model(), *data_.validation);
  EXPECT_EQ(one.queries, options_.validation.queries);
  EXPECT_GT(one.track, 0);
  for (const int size : {2, 3, 5}) {  // there are two tracks
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      expect_same(validate(model(), *data_.validation, *ranks), one, size);
    });
  }
}

TEST_F(Validation, OfNafpsNetworkToo) {
  const TrainOptions options = with_nafps_network(options_);
  const nn::Model nafp = nn::make_model(options.features, options.encoder, 3);
  const HitRate one = validate(nafp, *data_.validation);
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    expect_same(validate(nn::make_model(options.features, options.encoder, 3), *data_.validation, *ranks), one, 3);
  });
}

/// Where every rank normalises its own rows, what is validated is what rank 0 saves.
TEST_F(Validation, RunningStatisticsAreRankZeros) {
  const HitRate one = validate(model(), *data_.validation);
  run_as_ranks(2, [&](const std::shared_ptr<Communicator>& ranks) {
    const nn::Model own = model();
    if (ranks->rank() == 1) {
      for (const nn::NamedBuffer& buffer : own.encoder->buffers()) {
        std::fill_n(buffer.tensor.mutable_data<float>(), buffer.tensor.numel(), 1000.0F);
      }
    }
    expect_same(validate(own, *data_.validation, *ranks), one, 2);
  });
}

TEST_F(Validation, AQueryIsEmbeddedTheSameInAnyCompany) {
  const nn::Model network = model();
  const Tensor all = network.encoder->embed(data_.validation->batch(0).distorted);
  for (const std::int64_t size : {1, 3, 5, 16}) {
    for (std::int64_t begin = 0; begin < all.dim(0); begin += size) {
      const std::int64_t end = std::min(all.dim(0), begin + size);
      const data::Batch part = data_.validation->batch(0, {begin, end}, Device{});
      EXPECT_TRUE(same_bits(network.encoder->embed(part.distorted), all.slice(begin, end))) << begin << " to " << end;
    }
  }
}

}  // namespace
}  // namespace earmark::train
