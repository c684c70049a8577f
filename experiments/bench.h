// Benchmarks against peers. Each runs both sides itself, in turn, several times, and reports medians: absolute figures
// drift with the machine, ratios of one run do not. The program `bench` is a list of these.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "nn/encoder.h"

namespace earmark::experiments {

/// What a benchmark found: the last line of its output.
struct BenchResult {
  std::string name;
  double value = 0;  ///< Ours, the median.
  std::string unit;
  std::string peer;  ///< What we are compared with.
  double ratio = 0;  ///< Ours over the peer's; above 1 we are better.
};
/// {"name": ..., "value": ..., "unit": ..., "peer": ..., "ratio": ...}
std::string to_json(const BenchResult& result);

double median(std::vector<double> values);

struct EncoderBenchOptions {
  int width = 16;
  int pairs = 64;        ///< Positive pairs in a training step: twice as many segments, also in a batch of inference.
  int repetitions = 5;   ///< Of each side.
  double seconds = 3;    ///< Of one repetition.
  bool compile = false;  ///< Let the peer try torch.compile too.
  std::string python = "python3";
  std::filesystem::path peers = "experiments/peers";
};

/// Training steps (forward, NT-Xent, backward, Adam) in segments per second, against the same network in PyTorch on as
/// many threads. Progress goes to `log`. Throws Error where the peer cannot be run.
BenchResult bench_train(const EncoderBenchOptions& options, std::ostream& log);
/// Embedding with batch normalisation folded, in segments per second, against PyTorch folded too.
BenchResult bench_infer(const EncoderBenchOptions& options, std::ostream& log);

/// Making a batch (cutting, distorting, spectrograms) in percent of the training step that uses it, both in time of all
/// processors, since workers make batches while others train. The peer is what is allowed: 10 %.
BenchResult bench_pairs(const EncoderBenchOptions& options, std::ostream& log);

/// What the ranks of a training exchange in a step, in percent of the step of a rank by itself, by way of shared memory
/// where they are on one machine; the peer is TCP. Every rank that a launcher has started calls it; `pairs` are a
/// rank's. What a whole step takes together and by oneself goes to `log`, at rank 0. Throws Error in a process by
/// itself.
BenchResult bench_communication(const EncoderBenchOptions& options, std::ostream& log);

/// (count, 64, 96, 1) normal numbers.
Tensor bench_segments(std::int64_t count);
/// The network of these benchmarks: attention twice with tanh, S = F * T, starting at the identity.
std::shared_ptr<nn::Encoder> bench_encoder(int width);
nn::EncoderOptions bench_encoder_options(int width);

}  // namespace earmark::experiments
