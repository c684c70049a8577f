// A model as it travels: the features it was trained on, the encoder's options, its weights. One safetensors file holds
// all three, so that an index can carry its model and refuse another.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "kernels/spectrogram.h"
#include "nn/encoder.h"
#include "nn/safetensors.h"

namespace earmark::nn {

struct Model {
  FeatureOptions features;
  EncoderOptions options;
  std::shared_ptr<Encoder> encoder;
};

/// A fresh, untrained model. The encoder's input size is taken from the features. Throws Error on bad options.
Model make_model(const FeatureOptions& features, EncoderOptions options, std::uint64_t seed = 1);

/// Reads a model written by save_model. Throws Error naming the file where it is missing, damaged, of another version,
/// or where a tensor is missing, unknown or of another shape than the options call for.
Model load_model(const std::filesystem::path& path);
/// Writes atomically. With `weights` f16, tensors of two axes and more are rounded to that: half the size, to be
/// searched with; vectors, such as the statistics of normalisation, stay as they are. Throws Error on other types than
/// f32 and f16, and where a weight is too large for f16.
void save_model(const std::filesystem::path& path, const Model& model, DType weights = DType::f32);

/// The mean of the weights, and of the statistics of normalisation, of models that were trained on from each other or
/// from one: often better than each of them, at the cost of one (Wortsman et al., "Model soups", ICML 2022). Throws
/// Error where there is none, or where features or options differ, naming the files.
Model average_models(std::span<const std::filesystem::path> paths);

/// The same weights in an encoder with whitening, by the identity at first, or in one without; on the CPU.
Model with_whitening(const Model& model, bool whitening);

/// 16 hexadecimal digits over features, options, parameters and buffers: what an index stores to refuse another model.
std::string model_hash(const Model& model);

/// One JSON object with every option, and back (as encoder_options_from_json).
std::string to_json(const FeatureOptions& features);
FeatureOptions feature_options_from_json(const std::string& json);

/// The model's tensors and metadata as they are written.
SafetensorsFile to_safetensors(const Model& model);
/// Copies parameters and buffers into `encoder`. `origin` names the file in errors.
void load_weights(const SafetensorsFile& file, Encoder& encoder, const std::string& origin);

}  // namespace earmark::nn
