#include "nn/model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>
#include <vector>

#include "kernels/error.h"
#include "nn/json_fields.h"

namespace earmark::nn {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFormat = "earmark-model";
constexpr const char* kVersion = "1";
constexpr float kLargestF16 = 65504;

template <class Fields>
void visit_features(Fields& fields, FeatureOptions& options) {
  fields.value("sample_rate", options.sample_rate);
  fields.value("n_fft", options.n_fft);
  fields.value("hop", options.hop);
  fields.value("mel_bands", options.mel_bands);
  fields.value("f_min", options.f_min);
  fields.value("f_max", options.f_max);
  fields.value("frames", options.frames);
  fields.value("hop_frames", options.hop_frames);
  fields.choice("normalization", options.normalization, normalization_names());
  fields.value("floor_db", options.floor_db);
  fields.later_choice("mel_scale", options.mel_scale, FeatureOptions{}.mel_scale, mel_scale_names());
  fields.later_choice("compression", options.compression, FeatureOptions{}.compression, compression_names());
}

/// A 64-bit content hash: eight bytes at a time, multiply and fold. Guards against mix-ups, not against attackers.
class ContentHash {
 public:
  void add(std::span<const std::byte> bytes) {
    std::size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + i, 8);
      mix(word);
    }
    std::uint64_t tail = 0;
    if (i < bytes.size()) {
      std::memcpy(&tail, bytes.data() + i, bytes.size() - i);
    }
    mix(tail);
    mix(bytes.size());
  }
  void add(const std::string& text) { add(std::as_bytes(std::span<const char>(text.data(), text.size()))); }

  std::string hexadecimal() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4) {
      out += kDigits[(state_ >> static_cast<unsigned>(shift)) & 15U];
    }
    return out;
  }

 private:
  void mix(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x9e3779b97f4a7c15U;
    state_ ^= state_ >> 32U;
  }

  std::uint64_t state_ = 0x2545f4914f6cdd1dU;
};

void copy_tensor(const SafetensorsFile& file, const std::string& name, const Tensor& target,
                 const std::string& origin) {
  check(file.contains(name), origin, ": tensor ", name, " is missing");
  const Tensor& source = file.at(name);
  check(source.shape() == target.shape(), origin, ": tensor ", name, " has shape ", source.shape(), ", expected ",
        target.shape());
  check(source.dtype() == DType::f32 || source.dtype() == DType::f64 || source.dtype() == DType::f16, origin,
        ": tensor ", name, " has type ", name_of(source.dtype()), ", expected f32 or f16");
  target.copy_from(source.to(target.dtype()));
}

Tensor in_16_bits(const std::string& name, const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f32);
  for (const float value : wide.values<float>()) {
    check(std::abs(value) <= kLargestF16 || std::isnan(value), "tensor ", name, ": ", value, " is too large for f16");
  }
  return wide.to(DType::f16);
}

void add_values(const Tensor& tensor, std::vector<double>& sums) {
  const Tensor wide = tensor.to(DType::f64);
  const auto values = wide.values<double>();
  sums.resize(values.size());
  std::transform(values.begin(), values.end(), sums.begin(), sums.begin(), std::plus<>());
}

const std::string& metadata(const SafetensorsFile& file, const std::string& key, const std::string& origin) {
  const auto found = file.metadata.find(key);
  check(found != file.metadata.end(), origin, ": not an Earmark model: it has no \"", key, "\" in its metadata");
  return found->second;
}

}  // namespace

std::string to_json(const FeatureOptions& features) {
  FeatureOptions copy = features;
  JsonWriter writer;
  visit_features(writer, copy);
  return writer.text();
}

FeatureOptions feature_options_from_json(const std::string& json) {
  FeatureOptions features;
  JsonReader reader(json, "feature options");
  visit_features(reader, features);
  reader.finish();
  check_feature_options(features);
  return features;
}

Model make_model(const FeatureOptions& features, EncoderOptions options, std::uint64_t seed) {
  check_feature_options(features);
  options.bands = features.mel_bands;
  options.frames = features.frames;
  return {features, options, make_encoder(options, seed)};
}

SafetensorsFile to_safetensors(const Model& model) {
  SafetensorsFile file;
  file.metadata = {{"format", kFormat},
                   {"version", kVersion},
                   {"features", to_json(model.features)},
                   {"encoder", to_json(model.options)}};
  for (const NamedParameter& parameter : model.encoder->parameters()) {
    file.tensors.emplace_back(parameter.name, parameter.variable.value().to(Device{}));
  }
  for (const NamedBuffer& buffer : model.encoder->buffers()) {
    file.tensors.emplace_back(buffer.name, buffer.tensor.to(Device{}));
  }
  return file;
}

void load_weights(const SafetensorsFile& file, Encoder& encoder, const std::string& origin) {
  std::set<std::string> known;
  for (const NamedParameter& parameter : encoder.parameters()) {
    copy_tensor(file, parameter.name, parameter.variable.value(), origin);
    known.insert(parameter.name);
  }
  for (const NamedBuffer& buffer : encoder.buffers()) {
    copy_tensor(file, buffer.name, buffer.tensor, origin);
    known.insert(buffer.name);
  }
  for (const auto& tensor : file.tensors) {
    check(known.count(tensor.first) == 1, origin, ": tensor ", tensor.first, " is not part of this encoder");
  }
  encoder.weights_changed();
}

Model load_model(const fs::path& path) {
  const SafetensorsFile file = read_safetensors(path);
  const std::string origin = path.string();
  check(metadata(file, "format", origin) == kFormat, origin, ": not an Earmark model");
  check(metadata(file, "version", origin) == kVersion, origin, ": model version ", metadata(file, "version", origin),
        ", this program reads version ", kVersion);
  Model model;
  try {
    model = make_model(feature_options_from_json(metadata(file, "features", origin)),
                       encoder_options_from_json(metadata(file, "encoder", origin)));
  } catch (const Error& error) {
    fail(origin, ": ", error.what());
  }
  load_weights(file, *model.encoder, origin);
  model.encoder->set_training(false);
  return model;
}

void save_model(const fs::path& path, const Model& model, DType weights) {
  check(weights == DType::f32 || weights == DType::f16, "a model is saved as f32 or f16, not as ", name_of(weights));
  SafetensorsFile file = to_safetensors(model);
  for (auto& [name, tensor] : file.tensors) {
    if (weights == DType::f16 && tensor.shape().rank() > 1) {
      tensor = in_16_bits(name, tensor);
    }
  }
  write_safetensors(path, file);
}

Model average_models(std::span<const fs::path> paths) {
  check(!paths.empty(), "average: expected at least one model");
  Model mean = load_model(paths.front());
  std::vector<std::vector<double>> sums;
  for (const fs::path& path : paths) {
    const Model model = load_model(path);
    check(model.features == mean.features && model.options == mean.options, path.string(),
          ": its features or its encoder's options are others than those of ", paths.front().string());
    const SafetensorsFile file = to_safetensors(model);
    sums.resize(file.tensors.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      add_values(file.tensors[i].second, sums[i]);
    }
  }
  SafetensorsFile file = to_safetensors(mean);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const Tensor wide(file.tensors[i].second.shape(), DType::f64);
    std::transform(sums[i].begin(), sums[i].end(), wide.mutable_data<double>(),
                   [&](double sum) { return sum / static_cast<double>(paths.size()); });
    file.tensors[i].second = wide;
  }
  load_weights(file, *mean.encoder, "average");
  return mean;
}

Model with_whitening(const Model& model, bool whitening) {
  EncoderOptions options = model.options;
  options.whitening = whitening;
  Model out = make_model(model.features, options);
  SafetensorsFile file = to_safetensors(model);
  if (model.options.whitening && !whitening) {
    file.tensors.pop_back();  // the last buffer
  } else if (whitening && !model.options.whitening) {
    file.tensors.emplace_back(out.encoder->buffers().back().name, out.encoder->whitening());
  }
  load_weights(file, *out.encoder, "with_whitening");
  out.encoder->set_training(model.encoder->training());
  return out;
}

std::string model_hash(const Model& model) {
  const SafetensorsFile file = to_safetensors(model);
  ContentHash hash;
  for (const auto& [key, text] : file.metadata) {
    hash.add(key);
    hash.add(text);
  }
  for (const auto& [name, tensor] : file.tensors) {
    hash.add(name);
    hash.add(str(name_of(tensor.dtype()), tensor.shape()));
    hash.add(std::span<const std::byte>(tensor.raw(), tensor.bytes()));
  }
  return hash.hexadecimal();
}

}  // namespace earmark::nn
