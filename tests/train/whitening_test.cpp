// The whitening of fingerprints: its matrix against what defines it, its estimate by one process and by several, and
// as part of a run.
#include "train/whitening.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "kernels/matmul.h"
#include "nn/model.h"
#include "tests/compare_tensors.h"
#include "tests/op_cases.h"
#include "tests/ranks.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/run.h"

namespace earmark::train {
namespace {

namespace fs = std::filesystem;
using earmark::testing::error_of;
using earmark::testing::largest_difference;
using earmark::testing::same_bits;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

Tensor product(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  Tensor out({a.dim(transpose_a ? 1 : 0), b.dim(transpose_b ? 0 : 1)}, DType::f64);
  kernels::matmul({.a = a, .b = b, .out = out, .transpose_a = transpose_a, .transpose_b = transpose_b});
  return out;
}

Tensor diagonal(std::int64_t extent, double value) {
  Tensor out = Tensor::zeros({extent, extent}, DType::f64);
  for (std::int64_t i = 0; i < extent; ++i) {
    out.mutable_data<double>()[i * extent + i] = value;
  }
  return out;
}

double trace(const Tensor& matrix) {
  double sum = 0;
  for (std::int64_t i = 0; i < matrix.dim(0); ++i) {
    sum += matrix.data<double>()[i * matrix.dim(0) + i];
  }
  return sum;
}

/// Of 20 rows in 12 elements, the first of which move much more than the last.
Tensor uneven_covariance() {
  const Tensor rows = testing::draw({20, 12}, testing::Domain::normal, DType::f64, 3);
  for (std::int64_t i = 0; i < rows.numel(); ++i) {
    rows.mutable_data<double>()[i] *= std::pow(0.6, static_cast<double>(i % 12));
  }
  return product(rows, rows, true, false);
}

TEST(WhiteningMatrix, MakesWhatDistortionsLeaveTheSameInAllDirections) {
  const Tensor c = uneven_covariance();
  for (const double floor : {1e-3, 0.05, 2.0}) {
    const double mean = trace(c) / 12;
    Tensor floored = c.clone();
    for (int i = 0; i < 12; ++i) {
      floored.mutable_data<double>()[i * 13] += floor * mean;
    }
    const Tensor w = whitening_matrix(c, floor);
    const Tensor white = product(product(w, floored, false, false), w, false, true);  // W (C + floor) W'
    EXPECT_LT(largest_difference(white, diagonal(12, mean)), 1e-9 * mean) << floor;
  }
}

TEST(WhiteningMatrix, OfNothingAndOfWhatIsNoNumber) {
  EXPECT_TRUE(same_bits(whitening_matrix(Tensor::zeros({3, 3}, DType::f64), 0.05), diagonal(3, 1)));
  const Tensor alike = diagonal(3, 4);
  EXPECT_LT(largest_difference(whitening_matrix(alike, 1e-6), diagonal(3, 1)), 1e-6) << "scale does not matter";
  Tensor broken = diagonal(3, 1);
  broken.mutable_data<double>()[4] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(error_of([&] { whitening_matrix(broken, 0.05); }), HasSubstr("not finite"));
}

class Whiten : public ::testing::Test {
 protected:
  Whiten() { options_.encoder.whitening = true; }

  nn::Model model() const { return nn::make_model(options_.features, options_.encoder, 3); }
  Tensor whitening_by(std::int64_t pairs) const {
    const nn::Model own = model();
    whiten(own, *data_.training, {.pairs = pairs}, *make_communicator({}, {}));
    return own.encoder->whitening();
  }
  /// How much more pairs of a later batch differ in the direction of one element than of another: largest variance of
  /// W(a - b) by the smallest.
  double unevenness(const Tensor& whitening) const {
    const nn::Model plain = nn::with_whitening(model(), false);
    const data::Batch batch = data_.training->batch(7);
    const Tensor a = plain.encoder->embed(batch.clean).to(DType::f64);
    const Tensor b = plain.encoder->embed(batch.distorted).to(DType::f64);
    for (std::int64_t i = 0; i < a.numel(); ++i) {
      a.mutable_data<double>()[i] -= b.data<double>()[i];
    }
    const Tensor white = product(a, whitening.to(DType::f64), false, true);
    const Tensor squares = product(white, white, true, false);
    double low = std::numeric_limits<double>::infinity();
    double high = 0;
    for (std::int64_t i = 0; i < squares.dim(0); ++i) {
      const double variance = squares.data<double>()[i * squares.dim(0) + i];
      low = std::min(low, variance);
      high = std::max(high, variance);
    }
    return high / low;
  }

  TemporaryFolder folder_;
  TrainOptions options_ = tiny_options();
  TrainingData data_ = tiny_data(options_);
};

TEST_F(Whiten, EvensOutWhatDistortionsDo) {
  EXPECT_LT(2 * unevenness(whitening_by(600)), unevenness(diagonal(options_.encoder.embedding, 1)));
}

TEST_F(Whiten, ForgetsTheWhiteningBefore) {
  const nn::Model own = model();
  whiten(own, *data_.training, {.pairs = 30}, *make_communicator({}, {}));
  whiten(own, *data_.training, {.pairs = 30}, *make_communicator({}, {}));
  EXPECT_TRUE(same_bits(own.encoder->whitening(), whitening_by(30)));
  EXPECT_FALSE(same_bits(own.encoder->whitening(), whitening_by(36))) << "more pairs say something else";
  EXPECT_TRUE(same_bits(own.encoder->whitening(), whitening_by(25))) << "batches are whole: of six pairs";
}

TEST_F(Whiten, BySeveralRanksIsThatOfOne) {
  const Tensor one = whitening_by(30);
  for (const int size : {2, 3, 7}) {  // there are five batches
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      const nn::Model own = model();
      whiten(own, *data_.training, {.pairs = 30}, *ranks);
      EXPECT_TRUE(same_bits(own.encoder->whitening(), one)) << size << " ranks";
    });
  }
}

TEST_F(Whiten, ARunEndsWithItAndGoesOnToTheBit) {
  options_.whitening.pairs = 30;
  const std::atomic<bool> never{false};
  const auto train_to = [&](const std::string& name, std::int64_t steps) {
    TrainOptions options = options_;
    options.steps = steps;
    options.optimizer.schedule = Schedule::constant;
    const fs::path path = folder_ / name;
    const RunFolder run = fs::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
    run_training(options, data_, run, never, Device{}, false);
    return written(path / "model.safetensors");
  };
  const std::string straight = train_to("straight", 6);
  train_to("parts", 3);
  EXPECT_EQ(train_to("parts", 6), straight);
  const nn::Model model = nn::load_model(folder_ / "straight" / "model.safetensors");
  const Tensor found = model.encoder->whitening().clone();
  EXPECT_FALSE(same_bits(found, diagonal(options_.encoder.embedding, 1).to(DType::f32)));
  whiten(model, *data_.training, options_.whitening, *make_communicator({}, {}));
  EXPECT_TRUE(same_bits(model.encoder->whitening(), found)) << "the whitening of the weights at the end";
}

TEST_F(Whiten, ARunBeginsWithAModelThatHasAWhiteningOrNot) {
  options_.steps = 1;
  options_.whitening.pairs = 30;
  const std::atomic<bool> never{false};
  for (const bool before : {false, true}) {
    for (const bool after : {false, true}) {
      TrainOptions options = options_;
      options.encoder.whitening = after;
      options.initial_model = folder_ / "initial.safetensors";
      nn::save_model(options.initial_model, nn::with_whitening(model(), before));
      const RunFolder run = RunFolder::create(folder_ / str("run", before, after), "");
      run_training(options, data_, run, never, Device{}, false);
      EXPECT_EQ(nn::load_model(run.model()).options.whitening, after);
    }
  }
}

}  // namespace
}  // namespace earmark::train
