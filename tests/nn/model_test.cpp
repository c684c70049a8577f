#include "nn/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "nn/fingerprinter.h"
#include "tests/log_mel_reference.h"
#include "tests/test_support.h"

namespace earmark::nn {
namespace {

using earmark::testing::TemporaryFolder;
using ::testing::HasSubstr;

Model small_model(std::uint64_t seed = 1) {
  FeatureOptions features;
  features.mel_bands = 16;
  features.frames = 32;
  features.hop_frames = 8;
  features.normalization = FeatureOptions::Normalization::max_relative;
  EncoderOptions options;
  options.width = 2;
  options.embedding = 16;
  options.head_hidden = 4;
  return make_model(features, options, seed);
}

std::string load_error(const std::filesystem::path& path) {
  return testing::error_of([&] { load_model(path); });
}

std::vector<float> tone(std::int64_t samples) {
  std::vector<float> pcm(static_cast<std::size_t>(samples));
  for (std::size_t i = 0; i < pcm.size(); ++i) {
    const auto t = static_cast<float>(i) / 16000.0F;
    pcm[i] = 0.3F * std::sin(6.2831853F * (300 + 500 * t) * t);
  }
  return pcm;
}

TEST(Model, TheAverageHasTheMeanOfAllWeightsAndStatistics) {
  const TemporaryFolder folder;
  std::vector<std::filesystem::path> paths;
  std::vector<SafetensorsFile> files;
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Model model = small_model(seed);
    model.encoder->forward(Variable(Tensor::full({2, 16, 32, 1}, static_cast<double>(seed))));  // moves the statistics
    paths.push_back(folder / str(seed, ".safetensors"));
    save_model(paths.back(), model);
    files.push_back(to_safetensors(model));
  }
  const Model mean = average_models(paths);
  EXPECT_FALSE(mean.encoder->training());
  const SafetensorsFile averaged = to_safetensors(mean);
  ASSERT_EQ(averaged.tensors.size(), files[0].tensors.size());
  std::size_t differing = 0;
  for (std::size_t t = 0; t < averaged.tensors.size(); ++t) {
    const auto values = averaged.tensors[t].second.values<float>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      double sum = 0;
      for (const SafetensorsFile& file : files) {
        sum += static_cast<double>(file.tensors[t].second.values<float>()[i]);
      }
      ASSERT_FLOAT_EQ(values[i], static_cast<float>(sum / 3)) << averaged.tensors[t].first;
      differing += values[i] != files[0].tensors[t].second.values<float>()[i] ? 1 : 0;
    }
  }
  EXPECT_GT(differing, 1000U);
}

TEST(Model, OnlyModelsOfOneKindAreAveraged) {
  const TemporaryFolder folder;
  save_model(folder / "a.safetensors", small_model());
  EncoderOptions other = small_model().options;
  other.width = 4;
  save_model(folder / "b.safetensors", make_model(small_model().features, other));
  const std::vector<std::filesystem::path> paths = {folder / "a.safetensors", folder / "b.safetensors"};
  const std::string error = testing::error_of([&] { average_models(paths); });
  EXPECT_THAT(error, HasSubstr("b.safetensors: its features or its encoder's options are others than those of"));
  EXPECT_THAT(error, HasSubstr("a.safetensors"));
  EXPECT_THAT(testing::error_of([] { average_models({}); }), HasSubstr("at least one"));
}

TEST(Model, SurvivesTheWayThroughAFile) {
  const TemporaryFolder folder;
  const Model model = small_model();
  model.encoder->forward(Variable(Tensor::full({2, 16, 32, 1}, 0.5)));
  save_model(folder / "m.safetensors", model);
  const Model back = load_model(folder / "m.safetensors");
  EXPECT_EQ(back.features, model.features);
  EXPECT_EQ(back.options, model.options);
  EXPECT_FALSE(back.encoder->training());
  EXPECT_EQ(model_hash(back), model_hash(model));
  const Tensor x = Tensor::full({1, 16, 32, 1}, 0.25);
  const Tensor a = model.encoder->embed(x);
  const Tensor b = back.encoder->embed(x);
  EXPECT_TRUE(std::equal(a.raw(), a.raw() + a.bytes(), b.raw()));
}

TEST(Model, In16BitsIsHalfAsLargeAndHearsTheSame) {
  const TemporaryFolder folder;
  const Model model = small_model();
  model.encoder->forward(Variable(Tensor::full({2, 16, 32, 1}, 0.5)));
  save_model(folder / "wide.safetensors", model);
  save_model(folder / "half.safetensors", model, DType::f16);
  const auto saved =
      std::filesystem::file_size(folder / "wide.safetensors") - std::filesystem::file_size(folder / "half.safetensors");
  std::int64_t weights = 0;
  for (const NamedParameter& parameter : model.encoder->parameters()) {
    const Shape& shape = parameter.variable.value().shape();
    weights += shape.rank() > 1 ? shape.numel() : 0;
  }
  EXPECT_NEAR(static_cast<double>(saved), 2.0 * static_cast<double>(weights), 600);  // the header varies
  const Model half = load_model(folder / "half.safetensors");
  for (std::size_t i = 0; i < model.encoder->parameters().size(); ++i) {
    const auto want = model.encoder->parameters()[i].variable.value().values<float>();
    const auto got = half.encoder->parameters()[i].variable.value().values<float>();
    for (std::size_t j = 0; j < want.size(); ++j) {
      ASSERT_NEAR(got[j], want[j], std::abs(want[j]) / 2048 + 3e-8F) << model.encoder->parameters()[i].name;
    }
  }
  const Tensor x = Tensor::from<float>({1, 16, 32, 1}, std::span<const float>(tone(16 * 32)));
  const Tensor a = model.encoder->embed(x);
  const Tensor b = half.encoder->embed(x);
  double product = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    product += static_cast<double>(a.data<float>()[i]) * static_cast<double>(b.data<float>()[i]);
  }
  EXPECT_GT(product, 0.9999);
  save_model(folder / "again.safetensors", half, DType::f16);
  EXPECT_EQ(model_hash(load_model(folder / "again.safetensors")), model_hash(half));
}

TEST(Model, In16BitsWhatDoesNotFitIsNamed) {
  const TemporaryFolder folder;
  const Model model = small_model();
  EXPECT_THROW(save_model(folder / "m.safetensors", model, DType::bf16), Error);
  model.encoder->parameters()[0].variable.value().mutable_data<float>()[0] = 70000;
  try {
    save_model(folder / "m.safetensors", model, DType::f16);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(model.encoder->parameters()[0].name + ": 70000 is too large"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m.safetensors"));
}

TEST(Model, HashTellsModelsApart) {
  const Model model = small_model();
  const std::string hash = model_hash(model);
  EXPECT_EQ(hash.size(), 16U);
  EXPECT_EQ(model_hash(small_model()), hash);
  EXPECT_NE(model_hash(small_model(2)), hash);
  Model other = model;
  other.features.floor_db = -50;
  EXPECT_NE(model_hash(other), hash);
  const Tensor weight = model.encoder->parameters().back().variable.value();
  weight.mutable_data<float>()[0] = std::nextafter(weight.data<float>()[0], 10.0F);
  EXPECT_NE(model_hash(model), hash);
}

TEST(Model, FilesThatDoNotFitAreExplained) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "m.safetensors";
  SafetensorsFile file = to_safetensors(small_model());
  const auto error_with = [&](const auto& change) {
    SafetensorsFile changed = file;
    change(changed);
    write_safetensors(path, changed);
    const std::string error = load_error(path);
    EXPECT_THAT(error, HasSubstr(path.string()));
    return error;
  };
  EXPECT_THAT(error_with([](auto& f) { f.tensors.erase(f.tensors.begin() + 3); }), HasSubstr("front.norm.bias"));
  EXPECT_THAT(error_with([](auto& f) { f.tensors.emplace_back("extra", Tensor::zeros({1})); }), HasSubstr("extra"));
  EXPECT_THAT(error_with([](auto& f) {
                f.tensors[0].second = Tensor::zeros({3, 3, 3, 1});
              }),
              HasSubstr("(3, 3, 3, 1)"));
  EXPECT_THAT(error_with([](auto& f) {
                f.tensors[0].second = Tensor::zeros({2, 3, 3, 1}, DType::i32);
              }),
              HasSubstr("i32"));
  EXPECT_THAT(error_with([](auto& f) { f.metadata.erase("encoder"); }), HasSubstr("not an Earmark model"));
  EXPECT_THAT(error_with([](auto& f) { f.metadata["format"] = "pt"; }), HasSubstr("not an Earmark model"));
  EXPECT_THAT(error_with([](auto& f) { f.metadata["version"] = "2"; }), HasSubstr("version 2"));
  EXPECT_THAT(error_with([](auto& f) { f.metadata["features"] = R"({"hop": -1})"; }), HasSubstr("hop"));
  EXPECT_THAT(error_with([](auto& f) { f.metadata["encoder"] = R"({"type": "other"})"; }), HasSubstr("other"));
  EXPECT_THAT(load_error(folder / "none"), HasSubstr("none"));
}

TEST(Model, FeatureOptionsSurviveTheWayThroughJson) {
  const FeatureOptions features = small_model().features;
  EXPECT_EQ(feature_options_from_json(to_json(features)), features);
  EXPECT_THROW(feature_options_from_json(R"({"normalization": "odd"})"), Error);
  const FeatureOptions nafp = earmark::testing::nafp_features();
  EXPECT_EQ(feature_options_from_json(to_json(nafp)), nafp);
  EXPECT_THROW(feature_options_from_json(R"({"mel_scale": "bark"})"), Error);
}

/// An index carries its model's hash, which is taken over this text.
TEST(Model, FeatureOptionsOfOlderModelsKeepTheirText) {
  EXPECT_EQ(to_json(FeatureOptions{}),
            R"({"sample_rate":16000,"n_fft":512,"hop":160,"mel_bands":64,"f_min":0.0,"f_max":8000.0,"frames":96,)"
            R"("hop_frames":10,"normalization":"none","floor_db":-60.0})");
}

std::span<const float> row_of(const Tensor& rows, std::int64_t i) { return rows.slice(i, i + 1).values<float>(); }

/// Rows do not depend on what the stream is cut into, and where the loudest comes first they are the recording's.
TEST(Fingerprinter, StreamsAreRelativeToWhatWasHeard) {
  Model model = small_model();
  model.features.normalization = FeatureOptions::Normalization::batch_maximum;
  const Fingerprinter fingerprinter(model);
  std::vector<float> pcm = tone(16000 * 2);
  const std::vector<float> even = pcm;
  const std::int64_t all = fingerprinter.count(static_cast<std::int64_t>(pcm.size()));
  const auto in_pieces = [&](std::int64_t piece) {
    Fingerprinter::Stream stream;
    std::vector<std::vector<float>> rows;
    for (std::int64_t first = 0; first < all; first += piece) {
      const std::int64_t count = std::min(piece, all - first);
      const Tensor some = fingerprinter.fingerprints_of_stream(pcm, 0, first, count, stream);
      for (std::int64_t i = 0; i < count; ++i) {
        rows.emplace_back(row_of(some, i).begin(), row_of(some, i).end());
      }
    }
    return rows;
  };
  for (const bool loud_first : {false, true}) {
    for (std::size_t i = 0; i < pcm.size(); ++i) {
      pcm[i] = even[i] * ((i < 4000) == loud_first ? 2.0F : 0.5F);
    }
    const auto by_one = in_pieces(1);
    EXPECT_EQ(in_pieces(7), by_one);
    const Tensor whole = fingerprinter.fingerprints(pcm);
    EXPECT_EQ(std::ranges::equal(row_of(whole, 0), by_one[0]), loud_first);
    EXPECT_TRUE(std::ranges::equal(row_of(whole, all - 1), by_one.back()));
  }
  Fingerprinter::Stream stream;
  EXPECT_THROW(fingerprinter.fingerprints_of_stream(pcm, 0, all - 1, 2, stream), Error);
}

TEST(Fingerprinter, OneSegmentEveryHop) {
  const Fingerprinter fingerprinter(small_model());
  for (const std::int64_t samples : {1L, 100L, 5119L, 5120L, 5279L, 6399L, 6400L, 16000L}) {
    const Tensor rows = fingerprinter.fingerprints(tone(samples));
    const std::int64_t frames = std::max<std::int64_t>(samples / 160, 32);
    EXPECT_EQ(rows.shape(), (Shape{(frames - 32) / 8 + 1, 16})) << samples;
    EXPECT_EQ(rows.dim(0), fingerprinter.count(samples)) << samples;
    for (std::int64_t row = 0; row < rows.dim(0); ++row) {
      double square = 0;
      for (std::int64_t i = 0; i < 16; ++i) {
        square += std::pow(static_cast<double>(rows.data<float>()[row * 16 + i]), 2);
      }
      EXPECT_NEAR(square, 1, 1e-5);
    }
  }
  EXPECT_DOUBLE_EQ(fingerprinter.hop_seconds(), 0.08);
  EXPECT_DOUBLE_EQ(fingerprinter.hop_seconds(5), 0.05);
  EXPECT_DOUBLE_EQ(fingerprinter.segment_seconds(), 0.32);
}

TEST(Fingerprinter, AnotherHopSeesTheSameSegments) {
  const Fingerprinter fingerprinter(small_model());
  const std::vector<float> pcm = tone(20000);
  const Tensor coarse = fingerprinter.fingerprints(pcm);
  const Tensor fine = fingerprinter.fingerprints(pcm, 4);
  EXPECT_EQ(fine.dim(0), fingerprinter.count(20000, 4));
  for (std::int64_t row = 0; row < coarse.dim(0); ++row) {
    for (std::int64_t i = 0; i < 16; ++i) {
      EXPECT_NEAR(coarse.data<float>()[row * 16 + i], fine.data<float>()[2 * row * 16 + i], 1e-5);
    }
  }
}

TEST(Fingerprinter, TheSameForAnyNumberOfThreads) {
  const Fingerprinter fingerprinter(small_model());
  const std::vector<float> pcm = tone(200000);
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor one = fingerprinter.fingerprints(pcm);
  set_num_threads(2);
  const Tensor two = fingerprinter.fingerprints(pcm);
  set_num_threads(threads);
  EXPECT_TRUE(std::equal(one.raw(), one.raw() + one.bytes(), two.raw()));
}

/// Each recording is relative to its own maximum, whatever else is fingerprinted with it, and by how many threads.
TEST(Fingerprinter, RecordingsDoNotHearEachOther) {
  Model model = small_model();
  model.features.normalization = FeatureOptions::Normalization::batch_maximum;
  const Fingerprinter fingerprinter(model);
  const std::vector<float> loud = tone(20000);
  std::vector<float> soft = tone(60000);
  for (float& x : soft) {
    x *= 0.01F;
  }
  const std::vector<std::span<const float>> both = {loud, soft};
  const int threads = num_threads();
  for (const int n : {1, 3}) {
    set_num_threads(n);
    const Tensor together = fingerprinter.fingerprints_of_all(both);
    const Tensor alone = fingerprinter.fingerprints(soft);
    const Tensor last = together.slice(together.dim(0) - alone.dim(0), together.dim(0));
    EXPECT_TRUE(std::ranges::equal(alone.values<float>(), last.values<float>())) << n;
  }
  set_num_threads(threads);
}

TEST(Fingerprinter, RefusesWhatIsNoSound) {
  const Fingerprinter fingerprinter(small_model());
  EXPECT_THROW(static_cast<void>(fingerprinter.fingerprints({})), Error);
  std::vector<float> pcm = tone(8000);
  pcm[5000] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(static_cast<void>(fingerprinter.fingerprints(pcm)), Error);
  pcm[5000] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(static_cast<void>(fingerprinter.fingerprints(pcm)), Error);
  EXPECT_THROW(static_cast<void>(fingerprinter.fingerprints(tone(8000), -1)), Error);
  EXPECT_THROW(Fingerprinter(Model{}), Error);
}

TEST(Fingerprinter, SilenceHasAFingerprint) {
  const Tensor rows = Fingerprinter(small_model()).fingerprints(std::vector<float>(16000, 0.0F));
  for (const float value : rows.values<float>()) {
    EXPECT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace earmark::nn
