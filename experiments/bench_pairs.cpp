// `bench pairs`: what making a batch costs beside the training step that uses it.
#include <algorithm>
#include <ctime>
#include <functional>
#include <memory>
#include <ostream>

#include "autograd/functions.h"
#include "data/composer.h"
#include "data/pair_sampler.h"
#include "data/room.h"
#include "data/wav.h"
#include "experiments/bench.h"
#include "nn/encoder.h"
#include "train/adam.h"

namespace earmark::experiments {
namespace {

/// Pairs of composed music as configs/fma.yaml makes them: all three distortions, coloured noises, 20 rooms.
data::PairSampler sampler_of(int pairs) {
  std::vector<std::vector<std::int16_t>> tracks;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const std::vector<float> music = data::compose(seed, 30);
    tracks.emplace_back(music.size());
    std::transform(music.begin(), music.end(), tracks.back().begin(), data::to_int16);
  }
  auto noise = std::make_shared<data::NoiseBank>();
  for (const data::NoiseColor color : {data::NoiseColor::white, data::NoiseColor::pink, data::NoiseColor::brown}) {
    noise->add_colored(color);
  }
  data::PairOptions options;
  options.pairs = pairs;
  options.draws = data::PairOptions::Draws::uniform_time;
  return {std::make_shared<data::PcmStore>(data::PcmStore::in_memory(std::move(tracks))),
          noise,
          data::simulate_rooms(20, 1),
          {},
          options};
}

/// Seconds of all processors together.
double processor_seconds(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace

BenchResult bench_pairs(const EncoderBenchOptions& options, std::ostream& log) {
  constexpr int kBatches = 5;
  const data::PairSampler sampler = sampler_of(options.pairs);
  const std::shared_ptr<nn::Encoder> encoder = bench_encoder(options.width);
  train::Adam adam(*encoder, {});
  data::Batch batch = sampler.batch(0);
  const Tensor both({2 * options.pairs, batch.clean.dim(1), batch.clean.dim(2), 1});
  const auto step = [&] {
    both.slice(0, options.pairs).copy_from(batch.clean);
    both.slice(options.pairs, 2 * options.pairs).copy_from(batch.distorted);
    const Variable loss = nt_xent(encoder->forward(Variable(both)), 0.05).loss;
    loss.backward();
    adam.step(1e-4, loss.value());
  };
  step();
  std::vector<double> shares;
  for (int i = 0; i < options.repetitions; ++i) {
    const double making = processor_seconds([&] {
                            for (int k = 0; k < kBatches; ++k) {
                              batch = sampler.batch(1 + i * kBatches + k);
                            }
                          }) /
                          kBatches;
    const double training = processor_seconds(step);
    shares.push_back(100 * making / training);
    log << "repetition " << i + 1 << ": a batch of " << options.pairs << " pairs " << 1e3 * making << " ms, a step "
        << 1e3 * training << " ms of processor time\n";
  }
  return {"pairs", median(shares), "% of a training step", "at most 10 %", 10 / median(shares)};
}

}  // namespace earmark::experiments
