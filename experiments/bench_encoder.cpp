// `bench train` and `bench infer`: the encoder against PyTorch.
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "autograd/functions.h"
#include "experiments/bench.h"
#include "experiments/peer_process.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "nn/encoder.h"
#include "train/adam.h"

namespace earmark::experiments {
namespace {

using Clock = std::chrono::steady_clock;

/// Segments per second of `step`, which handles `batch`, over at least `seconds`.
double rate(const std::function<void()>& step, std::int64_t batch, double seconds) {
  const auto begin = Clock::now();
  std::int64_t count = 0;
  double passed = 0;
  while (count == 0 || passed < seconds) {
    step();
    ++count;
    passed = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return static_cast<double>(count * batch) / passed;
}

/// Alternates the two sides and compares medians.
BenchResult compare(const std::string& task, const EncoderBenchOptions& options, const std::function<void()>& step,
                    std::ostream& log) {
  const std::int64_t batch = 2 * options.pairs;
  std::vector<std::string> command{options.python,
                                   (options.peers / "pytorch_encoder.py").string(),
                                   task,
                                   "--width",
                                   std::to_string(options.width),
                                   "--batch",
                                   std::to_string(batch),
                                   "--threads",
                                   std::to_string(num_threads()),
                                   "--seconds",
                                   std::to_string(options.seconds)};
  if (options.compile) {
    command.emplace_back("--compile");
  }
  log << task << ": width " << options.width << ", " << batch << " segments a batch, " << num_threads()
      << " threads; the peer tries its layouts\n";
  PeerProcess peer(command);
  const nlohmann::json hello = nlohmann::json::parse(peer.read_line());
  const std::string name = hello.at("peer").get<std::string>() + " " + hello.at("layout").get<std::string>();
  step();
  step();
  std::vector<double> ours;
  std::vector<double> theirs;
  for (int i = 0; i < options.repetitions; ++i) {
    ours.push_back(rate(step, batch, options.seconds));
    peer.write_line("go");
    theirs.push_back(nlohmann::json::parse(peer.read_line()).at("segments_per_second").get<double>());
    log << "repetition " << i + 1 << ": ours " << ours.back() << ", " << name << " " << theirs.back()
        << " segments/s\n";
  }
  return {task, median(ours), "segments/s", name, median(ours) / median(theirs)};
}

}  // namespace

Tensor bench_segments(std::int64_t count) {
  const Tensor x({count, 64, 96, 1});
  RandomStream random(1, 1);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    x.mutable_data<float>()[i] = static_cast<float>(random.normal());
  }
  return x;
}

nn::EncoderOptions bench_encoder_options(int width) {
  nn::EncoderOptions network;
  network.width = width;
  network.attention_scale = nn::AttentionScale::area;
  network.attention_init = nn::AttentionInit::zero;
  return network;
}

std::shared_ptr<nn::Encoder> bench_encoder(int width) { return nn::make_encoder(bench_encoder_options(width)); }

BenchResult bench_train(const EncoderBenchOptions& options, std::ostream& log) {
  const std::shared_ptr<nn::Encoder> encoder = bench_encoder(options.width);
  train::Adam adam(*encoder, {});
  const Tensor x = bench_segments(2 * options.pairs);
  const auto step = [&] {
    const Variable loss = nt_xent(encoder->forward(Variable(x)), 0.05).loss;
    loss.backward();
    adam.step(1e-4, loss.value());
  };
  return compare("train", options, step, log);
}

BenchResult bench_infer(const EncoderBenchOptions& options, std::ostream& log) {
  const std::shared_ptr<nn::Encoder> encoder = bench_encoder(options.width);
  encoder->set_training(false);
  const Tensor x = bench_segments(2 * options.pairs);
  return compare(
      "infer", options, [&] { static_cast<void>(encoder->embed(x)); }, log);
}

}  // namespace earmark::experiments
