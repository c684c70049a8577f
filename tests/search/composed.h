// A small composed collection, an untrained model and an index of them: clean excerpts find themselves.
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "data/composer.h"
#include "data/wav.h"
#include "nn/fingerprinter.h"
#include "nn/model.h"
#include "search/index_store.h"
#include "search/indexer.h"
#include "search/query.h"
#include "tests/test_support.h"

namespace earmark::search {

/// An untrained encoder whose batch normalisation has seen some music: without, everything would sound alike to it.
inline nn::Model listening_model(const FeatureOptions& features, const nn::EncoderOptions& options,
                                 std::uint64_t seed) {
  nn::Model model = nn::make_model(features, options, seed);
  for (const nn::NamedParameter& parameter : model.encoder->parameters()) {
    if (parameter.name.starts_with("head") && parameter.name.ends_with("bias")) {
      parameter.variable.value().fill(0);
    }
  }
  const NoGradScope inference;
  constexpr std::int64_t kSegments = 48;
  const Tensor segments = segments_of(log_mel(data::compose(900, 14), features), features, 0, kSegments, 20);
  // Statistics as after thirty such batches, by one: they come nearer to the batch's by a tenth each time.
  const auto settled = static_cast<float>((1 - std::pow(0.9, 30)) / 0.1);
  std::vector<Tensor> before;
  for (const nn::NamedBuffer& buffer : model.encoder->buffers()) {
    before.push_back(buffer.tensor.clone());
  }
  model.encoder->set_training(true);
  model.encoder->forward(Variable(segments));
  model.encoder->set_training(false);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::span<const float> old = before[i].values<float>();
    float* const now = model.encoder->buffers()[i].tensor.mutable_data<float>();
    for (std::size_t k = 0; k < old.size(); ++k) {
      now[k] = old[k] + settled * (now[k] - old[k]);
    }
  }
  model.encoder->weights_changed();
  return model;
}

inline nn::Model tiny_model(std::uint64_t seed = 1) {
  FeatureOptions features;
  features.normalization = FeatureOptions::Normalization::max_relative;
  nn::EncoderOptions options;
  options.width = 4;
  options.attention = nn::Attention::none;
  return listening_model(features, options, seed);
}

class Composed {
 public:
  explicit Composed(int tracks = 3, double seconds = 20) {
    std::filesystem::create_directories(music());
    static const nn::Model listener = tiny_model();  // once a program
    nn::save_model(model(), listener);
    for (int i = 0; i < tracks; ++i) {
      sounds.push_back(data::compose(static_cast<std::uint64_t>(i) + 1, seconds));
      data::write_wav(music() / name(i), sounds.back());
    }
  }
  std::filesystem::path music() const { return folder / "music"; }
  std::filesystem::path model() const { return folder / "model.safetensors"; }
  std::filesystem::path index() const { return folder / "index"; }
  static std::string name(int i) { return "track-" + std::to_string(i) + ".wav"; }
  std::filesystem::path write(const std::string& file, std::span<const float> sound) const {
    data::write_wav(folder / file, sound);
    return folder / file;
  }
  std::span<const float> part(int track, double begin_s, double length_s) const {
    return std::span<const float>(sounds[static_cast<std::size_t>(track)])
        .subspan(static_cast<std::size_t>(begin_s * 16000), static_cast<std::size_t>(length_s * 16000));
  }
  IndexWriter writer() const {
    return IndexWriter::create(index(), model(),
                               format_of(nn::load_model(model()), 0, Precision::fp32, ScaleMode::row));
  }
  IndexReport add(const std::vector<std::filesystem::path>& paths) const {
    IndexWriter open = writer();
    const nn::Fingerprinter fingerprinter(nn::load_model(model()));
    return add_audio(open, find_sources(paths),
                     [&](std::span<const float> pcm) { return fingerprinter.fingerprints(pcm); });
  }

  testing::TemporaryFolder folder;
  std::vector<std::vector<float>> sounds;
};

inline void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace earmark::search
