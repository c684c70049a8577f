// The program `reproduce` with a small composed collection and an untrained model: what its tests share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "data/composer.h"
#include "nn/model.h"
#include "tests/program.h"

namespace earmark::experiments {

namespace fs = std::filesystem;
using earmark::testing::bytes_of;
using earmark::testing::Ended;
using earmark::testing::Surroundings;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ReproduceProgram : public ::testing::Test {
 protected:
  void SetUp() override {
    data::compose_folder(folder_ / "music", {4, 8, 1, 16000, false});
    FeatureOptions features;
    features.normalization = FeatureOptions::Normalization::max_relative;
    nn::EncoderOptions encoder;
    encoder.width = 2;
    encoder.convolution_init = nn::ConvolutionInit::kaiming;
    nn::save_model(model_, nn::make_model(features, encoder));
    std::ofstream(config_) << "train: {steps: 3}\n"
                           << "reproduce:\n"
                           << "  database: " << (folder_ / "music").string() << "\n"
                           << "  excerpts: 4\n"
                           << "  rooms: 1\n"
                           << "  lsh_bits: 10\n"
                           << "  lengths_s: [0.96, 2]\n";
  }

  std::vector<std::string> arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{config_.string(), "--model", model_.string(), "--out", out_.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Ended reproduce(const std::vector<std::string>& more = {}, const Surroundings& surroundings = {}) const {
    return earmark::testing::run("reproduce", arguments(more), surroundings);
  }

  /// Of the cells that are done, those whose files' names begin so.
  std::int64_t cells_called(const std::string& label) const {
    const fs::path cells = out_ / "cells";
    return !fs::exists(cells) ? 0 : std::count_if(fs::directory_iterator(cells), {}, [&](const auto& file) {
      const std::string name = file.path().filename();
      return name.starts_with(label) && name.ends_with(".csv");
    });
  }
  bool has_cell() const { return cells_called("clean") > 0; }

  earmark::testing::TemporaryFolder folder_;
  fs::path config_ = folder_ / "reproduce.yaml";
  fs::path model_ = folder_ / "model.safetensors";
  fs::path out_ = folder_ / "out";
};

}  // namespace earmark::experiments
