// A training run small enough for a test: two kinds of sweeps as music, a network of width 2 on short segments.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/data_sources.h"
#include "train/options.h"
#include "train/run_folder.h"

namespace earmark::train {

inline TrainOptions tiny_options() {
  TrainOptions options;
  options.steps = 6;
  options.checkpoint_interval = 3;
  options.log_interval = 1;
  options.features.mel_bands = 16;
  options.features.frames = 24;
  options.features.normalization = FeatureOptions::Normalization::max_relative;
  options.encoder.width = 2;
  options.encoder.bands = 16;
  options.encoder.frames = 24;
  options.encoder.embedding = 16;
  options.encoder.head_hidden = 4;
  options.encoder.attention_scale = nn::AttentionScale::area;
  options.encoder.attention_init = nn::AttentionInit::zero;
  options.pairs.pairs = 6;
  options.pairs.draws = data::PairOptions::Draws::uniform_time;
  options.optimizer.learning_rate = 3e-3;
  options.optimizer.schedule = Schedule::cosine;
  options.optimizer.warmup_steps = 2;
  options.validation.interval = 3;
  options.validation.queries = 16;
  return options;
}

/// NAFP's network of the same extents instead of the attention encoder.
inline TrainOptions with_nafps_network(TrainOptions options) {
  const nn::EncoderOptions sizes = options.encoder;
  options.encoder = nn::default_encoder_options("nafp");
  options.encoder.width = sizes.width;
  options.encoder.bands = sizes.bands;
  options.encoder.frames = sizes.frames;
  options.encoder.embedding = sizes.embedding;
  options.encoder.head_hidden = sizes.head_hidden;
  return options;
}

/// Four tracks of music made from nothing and two to validate on, three noises, two rooms.
TrainingData tiny_data(const TrainOptions& options);

/// Trains on tiny_data in the run folder `path`, a new one or on from where it was left. Returns the losses of all its
/// steps, as its log has them.
std::vector<double> train_in(const std::filesystem::path& path, const TrainOptions& options, Device device);

/// What a run has written to a file: the test fails where there is none.
std::string written(const std::filesystem::path& file);

/// A log.csv without its last two columns, which tell time.
std::string timeless(const std::filesystem::path& log);

}  // namespace earmark::train
