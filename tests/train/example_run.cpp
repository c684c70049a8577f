#include "tests/train/example_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>

#include "data/composer.h"
#include "data/room.h"
#include "data/wav.h"
#include "tests/test_support.h"
#include "train/run.h"

namespace earmark::train {

namespace {

std::shared_ptr<data::PcmStore> composed(std::uint64_t seed, int tracks, double seconds) {
  std::vector<std::vector<std::int16_t>> pcm;
  for (int track = 0; track < tracks; ++track) {
    const std::vector<float> music = data::compose(seed + static_cast<std::uint64_t>(track), seconds);
    pcm.emplace_back(music.size());
    std::transform(music.begin(), music.end(), pcm.back().begin(), data::to_int16);
  }
  return std::make_shared<data::PcmStore>(data::PcmStore::in_memory(std::move(pcm)));
}

}  // namespace

TrainingData tiny_data(const TrainOptions& options) {
  auto noise = std::make_shared<data::NoiseBank>();
  noise->add_colored(data::NoiseColor::white, 4, 1);
  noise->add_colored(data::NoiseColor::pink, 4, 2);
  const data::RirBank rooms = data::simulate_rooms(2, 1, {0.15, 0.3, -3, 3});
  TrainingData data;
  data.training = std::make_shared<data::PairSampler>(composed(1, 4, 6), noise, rooms, options.features, options.pairs);
  data::PairOptions queries = options.pairs;
  queries.pairs = options.validation.queries;
  data.validation = std::make_shared<data::PairSampler>(composed(100, 2, 4), noise, rooms, options.features, queries);
  return data;
}

std::vector<double> train_in(const std::filesystem::path& path, const TrainOptions& options, Device device) {
  const std::atomic<bool> never{false};
  RunFolder run = std::filesystem::exists(path) ? RunFolder::open(path) : RunFolder::create(path, "");
  run_training(options, tiny_data(options), run, never, device, false);
  std::ifstream log(run.log());
  std::vector<double> losses;
  std::string line;
  std::getline(log, line);
  while (std::getline(log, line)) {
    losses.push_back(std::stod(line.substr(line.find(',') + 1)));
  }
  return losses;
}

std::string written(const std::filesystem::path& file) {
  EXPECT_TRUE(std::ifstream(file).good()) << file;
  return testing::bytes_of(file);
}

std::string timeless(const std::filesystem::path& log) {
  std::ifstream in(log, std::ios::binary);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    line.resize(line.rfind(','));
    line.resize(line.rfind(','));
    out += line + "\n";
  }
  return out;
}

}  // namespace earmark::train
