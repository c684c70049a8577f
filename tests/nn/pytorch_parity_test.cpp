// The encoders, the loss and the optimisers against PyTorch in double: tests/golden, made by
// tools/pytorch_reference.py.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <tuple>

#include "autograd/functions.h"
#include "kernels/lamb.h"
#include "kernels/optimizer.h"
#include "nn/model.h"
#include "tests/nn/pytorch_reference.h"
#include "tests/test_support.h"

namespace earmark::nn {
namespace {

constexpr int kSteps = 5;
constexpr std::int64_t kPairs = 8;
constexpr double kTemperature = 0.1;

const std::filesystem::path kSource = EARMARK_SOURCE_DIR;

/// Root of the sum of squared differences.
double distance(std::span<const double> a, std::span<const double> b) {
  double square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    square += (a[i] - b[i]) * (a[i] - b[i]);
  }
  return std::sqrt(square);
}

double length(std::span<const double> a) { return distance(a, std::vector<double>(a.size(), 0.0)); }

void expect_close(const Tensor& got, const Tensor& want, double tolerance, const char* what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  const Tensor exact = got.to(DType::f64);
  EXPECT_LE(distance(exact.values<double>(), want.values<double>()), tolerance * length(want.values<double>())) << what;
}

/// Row `row` of the wanted digests against a tensor's. The norm and the projections of the difference are of the size
/// of its norm, the sixteen elements are held against theirs.
void expect_digest(const Tensor& got, const Tensor& want, std::int64_t row, double tolerance, const std::string& what) {
  const std::vector<double> mine = digest(got);
  const std::span<const double> its =
      want.values<double>().subspan(static_cast<std::size_t>(row) * mine.size(), mine.size());
  const double norm = its[0];
  for (std::size_t i = 0; i < 4; ++i) {
    // A projection of an error of relative size e has deviation e * norm: four of those are never exceeded by chance.
    EXPECT_NEAR(mine[i], its[i], (i == 0 ? 1 : 4) * tolerance * norm) << what << ", projection " << i;
  }
  const std::span<const double> elements = its.subspan(4);
  EXPECT_LE(distance(std::span<const double>(mine).subspan(4), elements),
            tolerance * std::max(length(elements), norm / 4))
      << what << ", elements";
}

/// A golden file and the encoder it describes, with the same starting values.
struct Reference {
  SafetensorsFile file;
  EncoderOptions options;
  std::uint32_t seed;
  std::shared_ptr<Encoder> encoder;

  Reference(const std::string& name, DType dtype)
      : file(read_safetensors(kSource / "tests/golden" / (name + ".safetensors"))),
        options(encoder_options_from_json(file.metadata.at("encoder"))),
        seed(static_cast<std::uint32_t>(std::stoul(file.metadata.at("seed")))),
        encoder(make_encoder(options, 1, dtype)) {
    for (std::size_t i = 0; i < encoder->parameters().size(); ++i) {
      fill_start_values(encoder->parameters()[i], i, seed, options.type);
    }
    encoder->weights_changed();
  }
};

class Parity : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  std::string name() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  double tolerance() const { return dtype() == DType::f32 ? 1e-4 : 1e-9; }
  /// At full size a ReLU that switches within another processor's rounding moves gradients by more than they are
  /// measured to be away here.
  double gradient_tolerance() const { return dtype() == DType::f32 && name() == "full_size_area" ? 5e-4 : tolerance(); }
};

using Case = std::tuple<const char*, DType>;
INSTANTIATE_TEST_SUITE_P(
    PyTorch, Parity,
    ::testing::Values(Case{"full_size", DType::f64}, Case{"full_size_area", DType::f32},
                      Case{"full_size_area", DType::f64}, Case{"paper", DType::f32}, Case{"paper", DType::f64},
                      Case{"poster", DType::f32}, Case{"poster", DType::f64}, Case{"area", DType::f32},
                      Case{"area", DType::f64}, Case{"tanh_area", DType::f32}, Case{"tanh_area", DType::f64},
                      Case{"no_attention", DType::f32}, Case{"no_attention", DType::f64}, Case{"nafp", DType::f32},
                      Case{"nafp", DType::f64}, Case{"nafp_lamb", DType::f32}, Case{"nafp_lamb", DType::f64}),
    [](const auto& p) { return std::string(std::get<0>(p.param)) + "_" + std::string(name_of(std::get<1>(p.param))); });

TEST_P(Parity, EmbeddingsLossAndGradients) {
  const Reference r(name(), dtype());
  const Variable views = r.encoder->forward(Variable(made_up_segments(r.seed, r.options, 2 * kPairs, 0, dtype())));
  const NtXentResult result = nt_xent(views, kTemperature);
  expect_close(views.value(), r.file.at("embeddings"), tolerance(), "embeddings");
  const double want = r.file.at("losses").data<double>()[0];
  EXPECT_NEAR(result.loss.value().item(), want, tolerance() * want);
  EXPECT_NEAR(result.top1.item(), r.file.at("top1").data<double>()[0], 1e-6);
  result.loss.backward();
  const auto& parameters = r.encoder->parameters();
  ASSERT_EQ(static_cast<std::int64_t>(parameters.size()), r.file.at("gradients").dim(0));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Variable& p = parameters[i].variable;
    const Tensor gradient = p.grad() ? p.grad() : zeros_like(p.value());
    expect_digest(gradient, r.file.at("gradients"), static_cast<std::int64_t>(i), gradient_tolerance(),
                  parameters[i].name);
  }
}

/// The parameters and moments of an encoder, updated together, as the golden file says: by Adam or by LAMB.
class Optimiser {
 public:
  Optimiser(const Encoder& encoder, const SafetensorsFile& golden) : encoder_(encoder) {
    const auto named = golden.metadata.find("optimizer");
    lamb_ = named != golden.metadata.end() && named->second == "lamb";
    for (const NamedParameter& p : encoder.parameters()) {
      moments_.emplace_back(zeros_like(p.variable.value()), zeros_like(p.variable.value()));
    }
  }
  void step(std::int64_t number) {
    std::vector<kernels::AdamParameter> all;
    for (std::size_t i = 0; i < moments_.size(); ++i) {
      const Variable& p = encoder_.parameters()[i].variable;
      const std::int64_t layers = lamb_ ? encoder_.parameters()[i].layers : 1;
      const std::int64_t rows = p.shape()[0] / layers;
      for (std::int64_t row = 0; row < p.shape()[0]; row += rows) {
        const auto part = [&](const Tensor& t) { return t && layers > 1 ? t.slice(row, row + rows) : t; };
        all.push_back({part(p.value()), part(p.grad()), part(moments_[i].first), part(moments_[i].second)});
      }
    }
    if (lamb_) {
      kernels::lamb_step(all, {.step = number, .learning_rate = 1e-3, .epsilon = 1e-6, .weight_decay = 0.1});
    } else {
      kernels::adam_step(all, {.step = number, .learning_rate = 1e-3});
    }
    for (const NamedParameter& p : encoder_.parameters()) {
      Variable(p.variable).zero_grad();
    }
  }

 private:
  const Encoder& encoder_;
  bool lamb_ = false;
  std::vector<std::pair<Tensor, Tensor>> moments_;
};

TEST_P(Parity, FiveStepsAndInferenceAfterThem) {
  const Reference r(name(), dtype());
  Optimiser optimiser(*r.encoder, r.file);
  for (int step = 0; step < kSteps; ++step) {
    const Variable views = r.encoder->forward(Variable(made_up_segments(r.seed, r.options, 2 * kPairs, step, dtype())));
    const NtXentResult result = nt_xent(views, kTemperature);
    const double want = r.file.at("losses").data<double>()[step];
    EXPECT_NEAR(result.loss.value().item(), want, tolerance() * want) << "step " << step;
    result.loss.backward();
    optimiser.step(step + 1);
  }
  r.encoder->weights_changed();
  const auto& parameters = r.encoder->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    expect_digest(parameters[i].variable.value(), r.file.at("parameters_after"), static_cast<std::int64_t>(i),
                  tolerance(), parameters[i].name);
  }
  const Tensor segments = made_up_segments(r.seed, r.options, kPairs, kSteps, dtype());
  expect_close(r.encoder->embed(segments), r.file.at("embeddings_after"), tolerance(), "embed");
}

TEST(PyTorch, FullSizeInFloat) {
  // Among so many activations some ReLUs switch within rounding: only what comes out is compared. Why embeddings may
  // differ by more than 1e-4 here is told in tests/golden/README.md.
  const Reference r("full_size", DType::f32);
  const Variable views = r.encoder->forward(Variable(made_up_segments(r.seed, r.options, 2 * kPairs, 0, DType::f32)));
  expect_close(views.value(), r.file.at("embeddings"), 2e-4, "embeddings");
  const double want = r.file.at("losses").data<double>()[0];
  EXPECT_NEAR(nt_xent(views, kTemperature).loss.value().item(), want, 1e-4 * want);
}

TEST(PyTorch, FullSizeInFloatIsAsExactAsInSmallWhereGatesKeepTheirInput) {
  const Reference r("full_size_area", DType::f32);
  const Variable views = r.encoder->forward(Variable(made_up_segments(r.seed, r.options, 2 * kPairs, 0, DType::f32)));
  expect_close(views.value(), r.file.at("embeddings"), 1e-5, "embeddings");
}

TEST(PyTorch, ReadsOurCheckpoints) {
  const char* python = std::getenv("EARMARK_PYTORCH");
  if (python == nullptr) {
    GTEST_SKIP() << "set EARMARK_PYTORCH to a Python with torch to have it read a checkpoint";
  }
  const testing::TemporaryFolder folder;
  Reference r("poster", DType::f32);
  r.encoder->forward(Variable(made_up_segments(0, r.options, 8, 3, DType::f32)));  // moves the running statistics
  FeatureOptions features;
  features.mel_bands = r.options.bands;
  features.frames = r.options.frames;
  save_model(folder / "model.safetensors", {features, r.options, r.encoder});
  const std::string command =
      str("'", python, "' '", (kSource / "tools/pytorch_reference.py").string(), "' embed '",
          (folder / "model.safetensors").string(), "' --out '", (folder / "rows").string(), "'");
  ASSERT_EQ(std::system(command.c_str()), 0);
  const Tensor segments = made_up_segments(0, r.options, 8, 0, DType::f32);
  expect_close(r.encoder->embed(segments), read_safetensors(folder / "rows").at("embeddings"), 1e-4, "embeddings");
}

}  // namespace
}  // namespace earmark::nn
