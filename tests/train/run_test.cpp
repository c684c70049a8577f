#include "train/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

#include "data/composer.h"
#include "data/csv.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/test_support.h"
#include "tests/train/example_run.h"
#include "train/trainer.h"
#include "train/validation.h"

namespace earmark::train {
namespace {

namespace fs = std::filesystem;
using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

RunReport train_in(const fs::path& folder, const TrainOptions& options, const TrainingData& data, bool stop = false) {
  const RunFolder run = fs::exists(folder) ? RunFolder::open(folder) : RunFolder::create(folder, "train:\n");
  const std::atomic<bool> stop_flag{stop};
  return run_training(options, data, run, stop_flag, Device{}, false);
}

class Run : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  TrainOptions options_ = tiny_options();
  TrainingData data_ = tiny_data(options_);
};

TEST_F(Run, LeavesEverythingInItsFolder) {
  const RunReport report = train_in(folder_ / "run", options_, data_);
  EXPECT_EQ(report.steps, 6);
  EXPECT_FALSE(report.interrupted);
  EXPECT_GE(report.best_hit_rate, 0);
  for (const char* name :
       {"config.yaml", "log.csv", "model.safetensors", "best.safetensors", "checkpoints/step-00000003/state.json",
        "checkpoints/step-00000006/model.safetensors", "checkpoints/step-00000006/optimizer.safetensors"}) {
    EXPECT_TRUE(fs::exists(folder_ / "run" / name)) << name;
  }
  EXPECT_EQ(written(folder_ / "run" / "model.safetensors"),
            written(folder_ / "run" / "checkpoints/step-00000006/model.safetensors"));
  EXPECT_EQ(nn::load_model(folder_ / "run" / "best.safetensors").options, options_.encoder);
  const std::string log = timeless(folder_ / "run" / "log.csv");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 7);
}

TEST_F(Run, StoppedAndResumedEqualsStraightBitForBit) {
  train_in(folder_ / "straight", options_, data_);
  for (int start = 1; start <= 5; ++start) {
    EXPECT_TRUE(train_in(folder_ / "parts", options_, data_, true).interrupted);
  }
  EXPECT_FALSE(train_in(folder_ / "parts", options_, data_).interrupted);
  for (const char* name :
       {"model.safetensors", "best.safetensors", "checkpoints/step-00000006/optimizer.safetensors"}) {
    EXPECT_EQ(written(folder_ / "straight" / name), written(folder_ / "parts" / name)) << name;
  }
  EXPECT_EQ(timeless(folder_ / "straight" / "log.csv"), timeless(folder_ / "parts" / "log.csv"));
}

TEST_F(Run, KilledBetweenCheckpointsGoesOnFromTheLast) {
  train_in(folder_ / "straight", options_, data_);
  train_in(folder_ / "killed", options_, data_);
  // What a kill after step 5 leaves: the checkpoint of step 3, logs that ran on, a half-written checkpoint.
  fs::remove_all(folder_ / "killed" / "checkpoints/step-00000006");
  fs::remove(folder_ / "killed" / "model.safetensors");
  fs::create_directories(folder_ / "killed" / "checkpoints/.unfinished-step-00000006");
  const RunReport report = train_in(folder_ / "killed", options_, data_);
  EXPECT_EQ(report.steps, 6);
  EXPECT_EQ(written(folder_ / "straight" / "model.safetensors"), written(folder_ / "killed" / "model.safetensors"));
  EXPECT_EQ(timeless(folder_ / "straight" / "log.csv"), timeless(folder_ / "killed" / "log.csv"));
}

TEST_F(Run, ThreadsAndWorkersDoNotChangeTheResult) {
  const int threads = num_threads();
  set_num_threads(1);
  options_.data.workers = 0;
  train_in(folder_ / "one", options_, data_);
  set_num_threads(2);
  options_.data.workers = 2;
  train_in(folder_ / "two", options_, data_);
  set_num_threads(threads);
  EXPECT_EQ(written(folder_ / "one" / "model.safetensors"), written(folder_ / "two" / "model.safetensors"));
  EXPECT_EQ(timeless(folder_ / "one" / "log.csv"), timeless(folder_ / "two" / "log.csv"));
}

TEST_F(Run, AnotherSeedGivesAnotherModel) {
  train_in(folder_ / "one", options_, data_);
  options_.seed = 2;
  train_in(folder_ / "two", options_, data_);
  EXPECT_NE(written(folder_ / "one" / "model.safetensors"), written(folder_ / "two" / "model.safetensors"));
}

TEST_F(Run, KeepsOnlyTheLastCheckpoints) {
  options_.checkpoint_interval = 1;
  options_.keep_checkpoints = 2;
  train_in(folder_ / "run", options_, data_);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder_ / "run" / "checkpoints")) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("step-00000005", "step-00000006"));
}

TEST_F(Run, ALossThatIsNoNumberStopsAndExplains) {
  options_.steps = 4;
  train_in(folder_ / "run", options_, data_, true);
  const fs::path checkpoint = folder_ / "run" / "checkpoints/step-00000001";
  nn::SafetensorsFile file = nn::read_safetensors(checkpoint / "model.safetensors");
  file.tensors[0].second.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  nn::write_safetensors(checkpoint / "model.safetensors", file);
  try {
    train_in(folder_ / "run", options_, data_);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("step 2: the loss is not finite"));
    EXPECT_THAT(error.what(), HasSubstr("step-00000001"));
    EXPECT_THAT(error.what(), HasSubstr("bad-batch.txt"));
  }
  const std::string batch = written(folder_ / "run" / "bad-batch.txt");
  EXPECT_EQ(std::count(batch.begin(), batch.end(), '\n'), options_.pairs.pairs);
}

TEST_F(Run, TheBatchOfALossThatIsNoNumberIsListedByItsFiles) {
  data::compose_folder(folder_ / "music", {.tracks = 3, .seconds = 2, .seed = 1});
  options_.data.music = {folder_ / "music"};
  options_.data.store = folder_ / "pcm";
  options_.data.colored_noise = {"pink"};
  options_.data.rooms = 2;
  options_.validation.tracks = 0;
  const TrainingData data = open_training_data(options_, [](const std::string&) {});
  options_.optimizer.warmup_steps = 0;
  options_.optimizer.learning_rate = std::numeric_limits<double>::infinity();  // the first step ruins every weight
  EXPECT_THROW(train_in(folder_ / "run", options_, data), Error);
  std::istringstream batch(written(folder_ / "run" / "bad-batch.txt"));
  int lines = 0;
  for (std::string line; std::getline(batch, line); ++lines) {
    const fs::path file = line.substr(0, line.find(" at "));
    EXPECT_TRUE(fs::is_regular_file(file)) << line;
    EXPECT_EQ(file.parent_path(), folder_ / "music");
    EXPECT_THAT(line, ::testing::ContainsRegex(" at [0-9]+\\.[0-9][0-9] s, (none|noise|reverb|noise_reverb)"));
  }
  EXPECT_EQ(lines, options_.pairs.pairs);
}

TEST_F(Run, TheBestModelIsTheOneThatValidatedBestAndNotTheLast) {
  options_.steps = 30;
  options_.checkpoint_interval = options_.validation.interval = 10;
  options_.keep_checkpoints = 5;
  data::PairOptions clean = options_.pairs;
  clean.pairs = 32;
  clean.noise_probability = clean.reverb_probability = clean.both_probability = 0;
  data_.validation = std::make_shared<data::PairSampler>(std::make_shared<data::PcmStore>(data_.validation->store()),
                                                         nullptr, data::RirBank{}, options_.features, clean);
  train_in(folder_ / "run", options_, data_);
  options_.steps = 50;
  data::PairOptions drowned = clean;  // what is searched for from here on can be found by chance only
  drowned.noise_probability = 1;
  drowned.snr_min_db = drowned.snr_max_db = -60;
  auto noise = std::make_shared<data::NoiseBank>();
  noise->add_colored(data::NoiseColor::white, 4, 1);
  data_.validation = std::make_shared<data::PairSampler>(std::make_shared<data::PcmStore>(data_.validation->store()),
                                                         noise, data::RirBank{}, options_.features, drowned);
  const RunReport report = train_in(folder_ / "run", options_, data_);
  std::ifstream log(folder_ / "run" / "log.csv");
  data::CsvReader reader(log, "log.csv");
  std::map<std::int64_t, double> validated;
  for (std::vector<std::string> row; reader.next(row);) {
    if (row[0] != "step" && !row[5].empty()) {
      validated[std::stoll(row[0])] = std::stod(row[5]);
    }
  }
  ASSERT_EQ(validated.size(), 5U);
  const auto best = std::max_element(validated.begin(), validated.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  EXPECT_LE(best->first, 30);
  EXPECT_GT(best->second, validated.at(50));
  EXPECT_EQ(report.best_step, best->first);
  EXPECT_EQ(report.best_hit_rate, best->second);
  const std::string kept = written(folder_ / "run" / "best.safetensors");
  const std::string step = "step-000000" + std::to_string(best->first);
  EXPECT_TRUE(kept == written(folder_ / "run" / "checkpoints" / step / "model.safetensors"));
  EXPECT_FALSE(kept == written(folder_ / "run" / "model.safetensors"));
}

TEST_F(Run, DamagedCheckpointsAreExplained) {
  train_in(folder_ / "run", options_, data_);
  options_.steps = 9;
  const fs::path checkpoint = folder_ / "run" / "checkpoints/step-00000006";
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const std::string whole = written(checkpoint / name);
    std::ofstream(checkpoint / name, std::ios::binary) << whole.substr(0, whole.size() / 2);
    try {
      train_in(folder_ / "run", options_, data_);
      FAIL() << "no error for " << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr((checkpoint / name).string()));
    }
    std::ofstream(checkpoint / name, std::ios::binary) << whole;
  }
  EXPECT_EQ(train_in(folder_ / "run", options_, data_).steps, 9);
}

TEST_F(Run, OtherOptionsThanTheCheckpointsAreRefused) {
  train_in(folder_ / "run", options_, data_);
  options_.encoder.head_hidden = 8;
  EXPECT_THROW(train_in(folder_ / "run", options_, data_), Error);
}

TEST_F(Run, BeginsWithAnotherRunsModelWhereThatIsOfItsKind) {
  train_in(folder_ / "first", options_, data_);
  options_.initial_model = folder_ / "first" / "model.safetensors";
  options_.steps = 1;
  options_.optimizer.learning_rate = 0;
  train_in(folder_ / "second", options_, data_);
  const nn::Model first = nn::load_model(options_.initial_model);
  const nn::Model second = nn::load_model(folder_ / "second" / "model.safetensors");
  for (std::size_t i = 0; i < first.encoder->parameters().size(); ++i) {
    EXPECT_THAT(second.encoder->parameters()[i].variable.value().values<float>(),
                ::testing::ElementsAreArray(first.encoder->parameters()[i].variable.value().values<float>()));
  }
  // A checkpoint replaces it: it is no longer needed then.
  fs::remove(options_.initial_model);
  options_.steps = 2;
  EXPECT_EQ(train_in(folder_ / "second", options_, data_).steps, 2);
  EXPECT_THROW(train_in(folder_ / "third", options_, data_), Error);
}

TEST_F(Run, AnInitialModelOfAnotherKindIsRefused) {
  train_in(folder_ / "first", options_, data_);
  options_.initial_model = folder_ / "first" / "model.safetensors";
  const auto refusal = [&](const TrainOptions& options, const std::string& name) -> std::string {
    try {
      train_in(folder_ / name, options, data_);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  TrainOptions other = options_;
  other.encoder.head_hidden = 8;
  EXPECT_THAT(refusal(other, "head"), ::testing::ContainsRegex("first/model.safetensors is the encoder .*head_hidden"));
  other = options_;
  other.features.normalization = FeatureOptions::Normalization::mean;
  EXPECT_THAT(refusal(other, "features"), ::testing::ContainsRegex("first/model.safetensors is for the features"));
}

TEST_F(Run, ATimeBudgetEndsTheRun) {
  options_.time_budget_minutes = 0.2 / 60;
  options_.steps = 1;
  options_.validation.interval = 0;
  const RunReport report = train_in(folder_ / "run", options_, data_);
  EXPECT_FALSE(report.interrupted);
  EXPECT_GE(report.elapsed_seconds, 0.2);
}

TEST(RunFolder, ARunIsNotOverwritten) {
  const TemporaryFolder folder;
  RunFolder::create(folder / "run", "a: 1\n");
  EXPECT_THROW(RunFolder::create(folder / "run", "a: 1\n"), Error);
  EXPECT_THROW(RunFolder::open(folder / "other"), Error);
  EXPECT_EQ(RunFolder::open(folder / "run").latest_checkpoint(), std::nullopt);
}

TEST(AppendedFile, GoesOnFromAnEarlierLength) {
  const TemporaryFolder folder;
  {
    AppendedFile file(folder / "log", 0);
    file.append("one\ntwo\n");
    EXPECT_EQ(file.size(), 8U);
  }
  AppendedFile(folder / "log", 4).append("three\n");
  EXPECT_EQ(written(folder / "log"), "one\nthree\n");
  EXPECT_THROW(AppendedFile(folder / "log", 100), Error);
  EXPECT_THROW(AppendedFile(folder / "no" / "log", 0), Error);
}

TEST(AppendedFile, AFullDiskIsAnError) {
  if (!fs::exists("/dev/full")) {
    GTEST_SKIP() << "no /dev/full here";
  }
  AppendedFile file("/dev/full", 0);
  EXPECT_THROW(file.append("x"), Error);
}

TEST_F(Run, TheLossFallsWhenOneBatchIsRepeated) {
  options_.optimizer.learning_rate = 1e-2;
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  const data::Batch batch = data_.training->batch(0);
  const double first = trainer.step(batch, 1e-2).loss;
  StepReport last;
  for (int step = 0; step < 30; ++step) {
    last = trainer.step(batch, 1e-2);
  }
  EXPECT_LT(last.loss, first / 2);
  EXPECT_GT(last.top1, 0.7);
  EXPECT_EQ(trainer.adam().steps_done(), 31);
}

TEST_F(Run, ClippingBoundsTheStepButReportsTheNorm) {
  const auto weights_after_a_step = [&](double clip_norm) {
    OptimizerOptions optimizer = options_.optimizer;
    optimizer.clip_norm = clip_norm;
    optimizer.epsilon = 1;  // Adam forgives the gradient's scale, unless epsilon is large beside it.
    Trainer trainer(nn::make_model(options_.features, options_.encoder), optimizer, 0.1);
    const StepReport report = trainer.step(data_.training->batch(0), 1);
    double moved = 0;
    const auto fresh = nn::make_encoder(options_.encoder);
    for (std::size_t i = 0; i < fresh->parameters().size(); ++i) {
      const Tensor& before = fresh->parameters()[i].variable.value();
      const Tensor& after = trainer.model().encoder->parameters()[i].variable.value();
      for (std::int64_t j = 0; j < before.numel(); ++j) {
        moved += std::abs(static_cast<double>(before.data<float>()[j]) - after.data<float>()[j]);
      }
    }
    return std::pair(report.grad_norm, moved);
  };
  const auto free = weights_after_a_step(0);
  const auto clipped = weights_after_a_step(free.first / 100);
  EXPECT_EQ(free.first, clipped.first);
  EXPECT_GT(free.second, 5 * clipped.second);
}

TEST_F(Run, ABatchThatIsNoNumberUpdatesNothing) {
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  data::Batch batch = data_.training->batch(0);
  batch.clean.mutable_data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(trainer.step(batch, 1e-3).finite());
  EXPECT_EQ(trainer.adam().steps_done(), 0);
  const auto fresh = nn::make_encoder(options_.encoder);
  for (std::size_t i = 0; i < fresh->parameters().size(); ++i) {
    const Tensor& before = fresh->parameters()[i].variable.value();
    const Tensor& after = trainer.model().encoder->parameters()[i].variable.value();
    EXPECT_TRUE(std::equal(before.raw(), before.raw() + before.bytes(), after.raw()));
  }
}

TEST_F(Run, ValidationFindsCleanQueriesAndCountsTheDatabase) {
  data::PairOptions clean = options_.pairs;
  clean.pairs = 32;
  clean.shift_s = 0;
  clean.noise_probability = clean.reverb_probability = clean.both_probability = 0;
  // With a fingerprint every 10 ms one lies within 5 ms of each query: an encoder with settled statistics finds it.
  options_.features.hop_frames = 1;
  const data::PairSampler sampler(std::make_shared<data::PcmStore>(data_.validation->store()), nullptr, {},
                                  options_.features, clean);
  Trainer trainer(nn::make_model(options_.features, options_.encoder), options_.optimizer, 0.1);
  for (int step = 0; step < 30; ++step) {
    trainer.step(data_.training->batch(step), 3e-3);
  }
  const HitRate hits = validate(trainer.model(), sampler);
  EXPECT_EQ(hits.queries, 32);
  EXPECT_EQ(hits.database, 2 * (400 - 24 + 1));
  EXPECT_GT(hits.track, 0.8);
  EXPECT_GT(hits.segment, 0.6);
  EXPECT_LE(hits.segment, hits.track);
}

}  // namespace
}  // namespace earmark::train
