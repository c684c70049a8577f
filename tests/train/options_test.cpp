#include "train/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/log_mel_reference.h"
#include "tests/test_support.h"

namespace earmark::train {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::filesystem::path kConfigs = std::filesystem::path(EARMARK_SOURCE_DIR) / "configs";
const std::string kMusic = "data.music=[/music]";

TrainOptions read_options(const std::string& name, const std::vector<std::string>& overrides = {}) {
  Config config = Config::load(kConfigs / name, overrides);
  const TrainOptions options = read_train_options(config);
  config.skip("reproduce");
  config.finish();
  check_train_options(config, options);
  return options;
}

std::string demo_error(const std::vector<std::string>& overrides) {
  return testing::error_of([&] { read_options("demo.yaml", overrides); });
}

TEST(TrainOptions, FmaIsThePaper) {
  const TrainOptions options = read_options("fma.yaml");
  EXPECT_EQ(options.encoder, nn::EncoderOptions{});
  EXPECT_EQ(options.features, FeatureOptions{});
  EXPECT_EQ(options.pairs.pairs, 256);
  EXPECT_EQ(options.temperature, 0.1);
  EXPECT_EQ(options.optimizer.learning_rate, 1e-4);
  EXPECT_EQ(options.optimizer.schedule, Schedule::constant);
  EXPECT_EQ(options.optimizer.weight_decay, 0);
  EXPECT_EQ(options.pairs.draws, data::PairOptions::Draws::per_file);
  EXPECT_DOUBLE_EQ(options.pairs.shift_s, 0.05);
}

TEST(TrainOptions, NafpIsItsAuthors) {
  const TrainOptions options = read_options("nafp.yaml", {kMusic});
  EXPECT_EQ(options.features, earmark::testing::nafp_features());
  EXPECT_EQ(options.encoder.type, "nafp");
  EXPECT_EQ(options.encoder.width, 128);
  EXPECT_EQ(options.pairs.pairs, 60);
  EXPECT_EQ(options.pairs.both_probability, 1);
  EXPECT_EQ(options.pairs.reverb, data::PairOptions::Reverb::circular);
  EXPECT_DOUBLE_EQ(options.pairs.rir_s, 0.075);
  EXPECT_DOUBLE_EQ(options.pairs.shift_s, 0.2);
  EXPECT_EQ(options.pairs.augment.mask_fill, data::AugmentOptions::MaskFill::zero);
  EXPECT_EQ(options.temperature, 0.05);
  EXPECT_EQ(options.optimizer.learning_rate, 1e-4);
  // Beside ours, the encoder is all that is another; and it is made for more bands.
  TrainOptions beside = read_options("nafp_same_frontend.yaml", {kMusic});
  const TrainOptions best = read_options("best.yaml", {kMusic});
  EXPECT_EQ(beside.pairs.pairs, best.pairs.pairs);
  EXPECT_EQ(beside.pairs.per_track, best.pairs.per_track);
  EXPECT_EQ(beside.pairs.alike, best.pairs.alike);
  EXPECT_EQ(beside.pairs.both_probability, best.pairs.both_probability);
  EXPECT_EQ(beside.pairs.snr_min_db, best.pairs.snr_min_db);
  EXPECT_EQ(beside.steps, best.steps);
  EXPECT_EQ(beside.optimizer.learning_rate, best.optimizer.learning_rate);
  beside.features.mel_bands = best.features.mel_bands;
  EXPECT_EQ(beside.features, best.features);
}

TEST(TrainOptions, KeysOfMasksAndRoomsAreStrict) {
  EXPECT_THAT(demo_error({kMusic, "pairs.reverb=round"}), HasSubstr("pairs.reverb"));
  EXPECT_THAT(demo_error({kMusic, "pairs.cutout_share=[0.5,0.2]"}), HasSubstr("pairs.cutout_share"));
  EXPECT_THAT(demo_error({kMusic, "pairs.mask_fill=one"}), HasSubstr("pairs.mask_fill"));
  EXPECT_THAT(demo_error({kMusic, "features.mel_scale=bark"}), HasSubstr("features.mel_scale"));
  EXPECT_THAT(demo_error({kMusic, "features.compression=log_magnitude"}), HasSubstr("features.compression"));
}

TEST(TrainOptions, EveryConfigurationIsCompleteAndRoundTrips) {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kConfigs)) {
    ++found;
    Config config = Config::load(entry.path(), {kMusic});
    const TrainOptions options = read_train_options(config);
    config.skip("reproduce");
    EXPECT_NO_THROW(config.finish()) << entry.path();
    EXPECT_NO_THROW(check_train_options(config, options)) << entry.path();
    Config again = Config::parse(config.resolved(), "resolved");
    read_train_options(again);
    again.skip("reproduce");
    EXPECT_NO_THROW(again.finish()) << entry.path();
    EXPECT_EQ(again.resolved(), config.resolved()) << entry.path();
  }
  EXPECT_GE(found, 3);
}

TEST(TrainOptions, SeedReachesThePairs) {
  EXPECT_EQ(read_options("demo.yaml", {kMusic, "train.seed=9"}).pairs.seed, 9U);
}

TEST(TrainOptions, StepsAreRecordedOnlyWhereThatIsAskedFor) {
  EXPECT_FALSE(read_options("demo.yaml", {kMusic}).cuda_graph);
  EXPECT_TRUE(read_options("demo.yaml", {kMusic, "train.cuda_graph=true"}).cuda_graph);
  EXPECT_THAT(demo_error({kMusic, "train.cuda_graph=2"}), HasSubstr("cuda_graph"));
}

TEST(TrainOptions, ProcessesNormaliseTogetherAndWaitForEachOtherUnlessTold) {
  const TrainOptions options = read_options("demo.yaml", {kMusic});
  EXPECT_TRUE(options.sync_batch_norm);
  EXPECT_EQ(options.rank_timeout_s, 300);
  EXPECT_FALSE(read_options("demo.yaml", {kMusic, "train.sync_batch_norm=false"}).sync_batch_norm);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, "train.rank_timeout_s=2.5"}).rank_timeout_s, 2.5);
  EXPECT_THAT(demo_error({kMusic, "train.rank_timeout_s=0"}), HasSubstr("rank_timeout_s"));
}

TEST(TrainOptions, ReductionGroupsAreOffUnlessToldAndFitThePairs) {
  const std::string pairs = "pairs.count=24";
  EXPECT_EQ(read_options("demo.yaml", {kMusic}).reduction_groups, 1);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, pairs, "train.reduction_groups=8"}).reduction_groups, 8);
  const auto error = [&](const std::vector<std::string>& more) {
    std::vector<std::string> all{kMusic, pairs};
    all.insert(all.end(), more.begin(), more.end());
    return demo_error(all);
  };
  for (const std::string groups : {"3", "12", "16"}) {
    EXPECT_THAT(error({"train.reduction_groups=" + groups}),
                HasSubstr("expected a power of two that divides pairs.count, which is 24, got " + groups));
  }
  EXPECT_THAT(error({"train.reduction_groups=4", "train.micro_batch=2"}), HasSubstr("goes without train.micro_batch"));
  EXPECT_THAT(error({"train.reduction_groups=4", "train.precision=bf16"}), HasSubstr("goes with train.precision fp32"));
  EXPECT_THAT(error({"train.reduction_groups=4", "train.sync_batch_norm=false"}),
              HasSubstr("goes with train.sync_batch_norm"));
}

TEST(TrainOptions, PairsOfATrackAndTheirDistance) {
  EXPECT_EQ(read_options("fma.yaml", {kMusic}).pairs.per_track, 1);
  EXPECT_EQ(read_options("demo.yaml", {kMusic}).pairs.per_track, 8);
  const TrainOptions options = read_options(
      "demo.yaml", {kMusic, "pairs.count=24", "pairs.per_track=12", "pairs.apart_ms=250", "pairs.alike=5"});
  EXPECT_EQ(options.pairs.per_track, 12);
  EXPECT_EQ(options.pairs.alike, 5);
  EXPECT_EQ(options.pairs.apart_s, 0.25);
}

TEST(TrainOptions, PrecisionIsOneOfFour) {
  EXPECT_EQ(read_options("demo.yaml", {kMusic}).precision, Precision::bf16_products);
  EXPECT_EQ(read_options("fma.yaml", {kMusic}).precision, Precision::fp32);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, "train.precision=tf32"}).precision, Precision::tf32);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, "train.precision=bf16"}).precision, Precision::bf16);
  const std::string error = demo_error({kMusic, "train.precision=fp16"});
  for (const char* part : {"train.precision", "fp16", "fp32", "tf32", "bf16_products", "bf16"}) {
    EXPECT_THAT(error, HasSubstr(part));
  }
}

TEST(TrainOptions, EncodersHaveOptionsOfTheirOwn) {
  const std::string nafp = "encoder={type: nafp}";
  EXPECT_EQ(read_options("demo.yaml", {kMusic, nafp}).encoder.width, 128);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, nafp, "encoder.width=16"}).encoder.width, 16);
  const std::string error = demo_error({kMusic, nafp, "encoder.attention=once"});
  for (const char* part : {"encoder.attention", "nafp"}) {
    EXPECT_THAT(error, HasSubstr(part));
  }
  EXPECT_THAT(demo_error({kMusic, nafp, "encoder.embedding=100"}), HasSubstr("encoder.embedding"));
}

TEST(TrainOptions, FingerprintsAreWhitenedWhereThatIsAskedFor) {
  EXPECT_FALSE(read_options("fma.yaml", {kMusic}).encoder.whitening);
  EXPECT_TRUE(read_options("demo.yaml", {kMusic}).encoder.whitening);
  const TrainOptions options = read_options(
      "fma.yaml", {kMusic, "encoder.whitening=true", "train.whitening_pairs=99", "train.whitening_floor=1"});
  EXPECT_TRUE(options.encoder.whitening);
  EXPECT_EQ(options.whitening.pairs, 99);
  EXPECT_EQ(options.whitening.floor, 1);
  EXPECT_THAT(demo_error({kMusic, "train.whitening_floor=0"}), HasSubstr("train.whitening_floor"));
}

TEST(TrainOptions, LambIsAnOptimiserBesideAdam) {
  EXPECT_EQ(read_options("demo.yaml", {kMusic}).optimizer.kind, OptimizerKind::adam);
  EXPECT_EQ(read_options("demo.yaml", {kMusic}).optimizer.epsilon, 1e-8);
  const OptimizerOptions lamb = read_options("demo.yaml", {kMusic, "train.optimizer=lamb"}).optimizer;
  EXPECT_EQ(lamb.kind, OptimizerKind::lamb);
  EXPECT_EQ(lamb.epsilon, 1e-6);
  EXPECT_EQ(read_options("demo.yaml", {kMusic, "train.optimizer=lamb", "train.epsilon=1e-7"}).optimizer.epsilon, 1e-7);
  const std::string error = demo_error({kMusic, "train.optimizer=lion"});
  for (const char* part : {"train.optimizer", "lion", "adam", "lamb"}) {
    EXPECT_THAT(error, HasSubstr(part));
  }
}

TEST(TrainOptions, WhatDoesNotFitTogetherIsRefused) {
  EXPECT_THAT(demo_error({}), HasSubstr("no music"));
  EXPECT_THAT(demo_error({kMusic, "data.colored_noise=[]"}), HasSubstr("noise is asked for"));
  EXPECT_THAT(demo_error({kMusic, "data.colored_noise=[blue]"}), HasSubstr("blue"));
  EXPECT_THAT(demo_error({kMusic, "data.rooms=0"}), HasSubstr("reverb is asked for"));
  EXPECT_EQ(demo_error({kMusic}), "no error");
}

/// What is wrong with one line, the third, of a configuration that is otherwise fit.
std::string error_of_line(const std::string& section, const std::string& line) {
  const std::string sources = section == "data" ? "" : "data: {music: /m, colored_noise: pink, rooms: 1}\n";
  const std::string more = section == "data" ? "  music: /m\n  colored_noise: pink\n  rooms: 1\n" : "";
  Config config = Config::parse(section + ":\n  # here:\n  " + line + "\n" + more + sources, "demo.yaml");
  return testing::error_of([&] {
    const TrainOptions options = read_train_options(config);
    config.finish();
    check_train_options(config, options);
  });
}

TEST(TrainOptions, WrongNamesAreRefusedWhereTheyStand) {
  EXPECT_EQ(error_of_line("data", "fma_subset: smal"),
            "demo.yaml:3: data.fma_subset: expected one of small, medium, large, full, got \"smal\"");
  EXPECT_EQ(error_of_line("data", "fma_split: train"),
            "demo.yaml:3: data.fma_split: expected one of \"\", training, validation, test, got \"train\"");
  EXPECT_EQ(error_of_line("data", "fma_split: [test]"),
            "demo.yaml:3: data.fma_split: expected one of \"\", training, validation, test, got a list of 1");
  EXPECT_THAT(error_of_line("encoder", "type: atention"),
              AllOf(StartsWith("demo.yaml:3: encoder.type: expected one of attention"), EndsWith("got \"atention\"")));
  EXPECT_EQ(error_of_line("pairs", "draws: per-file"),
            "demo.yaml:3: pairs.draws: expected one of per_file, uniform_time, got \"per-file\"");
  EXPECT_EQ(error_of_line("data", "fma_split: ''"), "no error");
}

TEST(TrainOptions, OptionsThatDoNotFitAreRefusedWhereTheyStand) {
  EXPECT_EQ(error_of_line("encoder", "embedding: 100"),
            "demo.yaml:3: encoder.embedding: is 100, which does not divide the flattened map of 6144 "
            "(32 x width 32 x 2 x 3)");
  EXPECT_EQ(error_of_line("features", "n_fft: 500"),
            "demo.yaml:3: features.n_fft: expected a power of two from 16 to 65536, got 500");
  EXPECT_EQ(error_of_line("features", "hop: 513"), "demo.yaml:3: features.hop: expected 1 to n_fft, got 513");
  EXPECT_EQ(error_of_line("features", "mel_bands: 300"),
            "demo.yaml:3: features.mel_bands: expected 1 to n_fft / 2, got 300");
  EXPECT_EQ(error_of_line("features", "f_max: 9000"),
            "demo.yaml:3: features.f_max: expected 0 <= f_min < f_max <= 8000, got 0, 9000");
  EXPECT_EQ(error_of_line("features", "f_min: 8500"),
            "demo.yaml:3: features.f_min: expected 0 <= f_min < f_max <= 8000, got 8500, 8000");
  EXPECT_EQ(demo_error({kMusic, "encoder.embedding=100"}),
            "--set encoder.embedding=100: is 100, which does not divide the flattened map of 1536 "
            "(32 x width 8 x 2 x 3)");
}

TEST(LearningRate, WarmsUpThenFollowsTheCosine) {
  OptimizerOptions options;
  options.learning_rate = 2;
  EXPECT_EQ(learning_rate(options, 0, 0), 2);
  EXPECT_EQ(learning_rate(options, 500, 0.99), 2);
  options.schedule = Schedule::cosine;
  options.final_fraction = 0.1;
  options.warmup_steps = 4;
  EXPECT_DOUBLE_EQ(learning_rate(options, 0, 0), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(options, 4, 0), 2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 4, 0.5), 2 * 0.55);
  EXPECT_DOUBLE_EQ(learning_rate(options, 4, 1), 0.2);
}

}  // namespace
}  // namespace earmark::train
