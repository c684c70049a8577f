// Everything a training run can be told, as plain structs, and how they are read from a configuration: each key with
// its default, range and meaning in one place (options.cpp).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/decode.h"
#include "data/noise.h"
#include "data/pair_sampler.h"
#include "data/room.h"
#include "kernels/spectrogram.h"
#include "nn/encoder_options.h"
#include "train/config.h"
#include "train/whitening.h"

namespace earmark::train {

/// Where sound comes from.
struct DataOptions {
  std::vector<std::filesystem::path> music;   ///< Files, folders, lists.
  std::filesystem::path fma;                  ///< Folder with fma_<subset>/ and fma_metadata/; empty: none.
  std::string fma_subset = "small";           ///< small, medium, large, full
  std::string fma_split;                      ///< training, validation, test; empty: all.
  std::vector<std::filesystem::path> noise;   ///< Recordings of noise.
  std::vector<std::filesystem::path> speech;  ///< Recordings of speech, mixed to babble.
  int babble_speakers = 6;
  std::vector<std::string> colored_noise;   ///< white, pink, brown
  std::vector<std::filesystem::path> rirs;  ///< Recorded room impulse responses.
  int rooms = 0;                            ///< Simulated rooms.
  data::RoomRange room_range;
  std::filesystem::path store = "runs/pcm";  ///< The decoded music.
  data::Channel channel = data::Channel::mean;
  bool peak_normalize = false;
  int workers = 1;  ///< Threads that make batches.
  int ahead = 4;    ///< Batches kept ready.
};

/// How the learning rate moves over a run.
enum class Schedule { constant, cosine };

/// What moves the parameters. Both keep Adam's moments; LAMB scales a step layer by layer.
enum class OptimizerKind { adam, lamb };

/// The optimiser and its schedule.
struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::adam;
  double learning_rate = 1e-4;
  Schedule schedule = Schedule::constant;
  std::int64_t warmup_steps = 0;  ///< Linear from 0.
  double final_fraction = 0;      ///< Of the learning rate, at the end of the cosine.
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;  ///< Decoupled (AdamW); of LAMB, part of the update that is scaled.
  double clip_norm = 0;     ///< Maximum norm of all gradients together; 0: no clipping.
};

/// Retrieval on held-out music during training.
struct ValidationOptions {
  std::vector<std::filesystem::path> music;  ///< Empty: `tracks` tracks are held out of the training music.
  int tracks = 20;
  double seconds = 20;          ///< Of each track, from its beginning.
  int queries = 256;            ///< Distorted segments.
  std::int64_t interval = 500;  ///< Steps; 0: no validation.
};

/// In which numbers a step computes. Weights, Adam's moments, statistics, sums, the head and the loss are fp32 in all
/// of them, and so is what checkpoints hold.
enum class Precision {
  fp32,
  tf32,           ///< On GPUs, convolutions round their operands to 10 bits of mantissa. Elsewhere fp32.
  bf16_products,  ///< On CPUs that multiply bf16 faster, convolutions round their operands to it. Elsewhere fp32.
  bf16,  ///< The encoder's activations and their gradients are stored with 8 bits, and convolutions take such operands.
};

struct TrainOptions {
  std::uint64_t seed = 1;
  std::filesystem::path initial_model;  ///< Weights to begin with; empty: drawn from `seed`.
  std::int64_t steps = 1000;
  double time_budget_minutes = 0;  ///< When > 0, it ends the run and drives the schedule instead of `steps`.
  double temperature = 0.1;
  Precision precision = Precision::fp32;
  bool cuda_graph = false;       ///< On a GPU, a step is recorded once and then launched as a whole.
  std::int64_t micro_batch = 0;  ///< Pairs of a rank whose activations are kept at a time; 0: all.
  bool sync_batch_norm = true;   ///< Of several ranks, statistics are those of all pairs.
  bool shard_optimizer = false;  ///< Of several ranks, each keeps a share of the optimiser's moments.
  /// Above 1, sums over a batch are taken over so many groups of pairs and in pairs of those, so that any number of
  /// processes that divides it trains the same bits. On the CPU.
  std::int64_t reduction_groups = 1;
  double rank_timeout_s = 300;             ///< How long ranks wait for one that may have died.
  std::int64_t log_interval = 10;          ///< Steps between scalars for TensorBoard.
  std::int64_t checkpoint_interval = 500;  ///< Steps.
  int keep_checkpoints = 2;
  FeatureOptions features;
  nn::EncoderOptions encoder;
  data::PairOptions pairs;
  DataOptions data;
  OptimizerOptions optimizer;
  ValidationOptions validation;
  WhiteningOptions whitening;  ///< Of an encoder that has one.
};

/// Reads the sections features, encoder, data, pairs, train and validation. Throws Error as Config does. Keys that no
/// program reads are found by config.finish(), which the caller calls once it has read its own sections.
TrainOptions read_train_options(Config& config);
/// What must hold across keys: there is music; noise and rooms where pairs ask for them; features and encoder fit.
/// Throws Error naming file, line and key.
void check_train_options(Config& config, const TrainOptions& options);

/// Learning rate of a step (0 first) whose share of the run is `progress` in 0..1.
double learning_rate(const OptimizerOptions& options, std::int64_t step, double progress);

}  // namespace earmark::train
