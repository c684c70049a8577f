// Convolution, batch and layer normalisation, attention, the head and the loss.
#include "kernels/batch_norm.h"
#include "kernels/conv.h"
#include "kernels/grouped_linear.h"
#include "kernels/layer_norm.h"
#include "kernels/normalize.h"
#include "kernels/nt_xent.h"
#include "kernels/spectral_temporal_attention.h"
#include "tests/bench/cuda_benchmark.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

constexpr std::int64_t kEmbedding = 128;

/// Attention over maps of the batch after `halvings` blocks; with a prologue and, where `backward`, its gradient.
KernelCase attention_case(const BenchmarkSizes& s, int halvings, bool prologue, bool backward) {
  const Shape x{s.batch, s.bands >> halvings, s.frames >> halvings, s.channels << halvings};
  const auto maps = static_cast<double>(x.numel());
  const int inputs = 1 + (prologue ? 1 : 0) + (backward ? 1 : 0);
  const std::string name =
      str("attention/", backward ? "backward" : "forward", prologue ? "_fused" : "", "_", x[1], "x", x[2], "x", x[3]);
  return {name, 4 * (inputs + 1) * maps, (backward ? 20 : 6) * maps, [=]() -> std::function<void()> {
            kernels::AttentionForward f{.x = gpu_normal(x),
                                        .w_spectral = gpu_normal({x[3], x[2]}, 1),
                                        .w_temporal = gpu_normal({x[3], x[1]}, 2),
                                        .scale = static_cast<double>(x[1] * x[2]),
                                        .out = gpu_empty(x),
                                        .spectral = gpu_empty({x[0], x[1], x[3]}),
                                        .temporal = gpu_empty({x[0], x[2], x[3]})};
            if (prologue) {
              f.prologue = {gpu_normal({x[3]}, 3), gpu_normal({x[3]}, 4), gpu_normal(x, 5)};
            }
            if (!backward) {
              return [f] { kernels::spectral_temporal_attention_forward(f); };
            }
            kernels::spectral_temporal_attention_forward(f);
            const kernels::AttentionBackward b{.forward = f,
                                               .dout = gpu_normal(x, 6),
                                               .dx = f.out,
                                               .dw_spectral = gpu_like(f.w_spectral),
                                               .dw_temporal = gpu_like(f.w_temporal),
                                               .centre = prologue ? gpu_normal({x[3]}, 7) : Tensor(),
                                               .dx_sum = prologue ? gpu_empty({x[3]}) : Tensor(),
                                               .dx_product = prologue ? gpu_empty({x[3]}) : Tensor()};
            return [b] { kernels::spectral_temporal_attention_backward(b); };
          }};
}

kernels::BatchNormForward batch_norm_of(const Shape& x) {
  const Shape channels{x[3]};
  return {.x = gpu_normal(x),
          .mean = gpu_normal(channels, 1),
          .inverse_deviation = gpu_normal(channels, 2),
          .gamma = gpu_normal(channels, 3),
          .beta = gpu_normal(channels, 4),
          .relu = true,
          .out = gpu_empty(x)};
}

std::vector<KernelCase> batch_norm_cases(const BenchmarkSizes& s) {
  const Shape x{s.batch, s.bands, s.frames, s.channels};
  const double map = 4.0 * static_cast<double>(x.numel());
  return {{"batch_norm/statistics", map, 0,
           [x]() -> std::function<void()> {
             const kernels::BatchNormForward f = batch_norm_of(x);
             kernels::BatchNormStatistics statistics;
             statistics.x = f.x;
             statistics.mean = f.mean;
             statistics.inverse_deviation = f.inverse_deviation;
             return [statistics] { kernels::batch_norm_statistics(statistics); };
           }},
          {"batch_norm/forward", 2 * map, 0,
           [x]() -> std::function<void()> {
             const kernels::BatchNormForward f = batch_norm_of(x);
             return [f] { kernels::batch_norm_forward(f); };
           }},
          {"batch_norm/backward", 3 * map, 0, [x]() -> std::function<void()> {
             const kernels::BatchNormForward f = batch_norm_of(x);
             const kernels::BatchNormBackward b{.forward = f,
                                                .dout = gpu_normal(x, 5),
                                                .dx = f.out,
                                                .dgamma = gpu_like(f.gamma),
                                                .dbeta = gpu_like(f.beta)};
             return [b] { kernels::batch_norm_backward(b); };
           }}};
}

/// Of maps as large as batch normalisation's, a gain for each element of a sample.
std::vector<KernelCase> layer_norm_cases(const BenchmarkSizes& s) {
  const Shape x{s.batch, s.bands, s.frames, s.channels};
  const auto elements = static_cast<double>(x.numel());
  const auto forward_of = [x] {
    const Shape sample{x[1], x[2], x[3]};
    return kernels::LayerNormForward{.x = gpu_normal(x),
                                     .gamma = gpu_normal(sample, 1),
                                     .beta = gpu_normal(sample, 2),
                                     .elu = true,
                                     .out = gpu_empty(x),
                                     .mean = gpu_empty({x[0]}),
                                     .inverse_deviation = gpu_empty({x[0]})};
  };
  return {{"layer_norm/forward", 12 * elements, 40 * elements,
           [forward_of]() -> std::function<void()> { return [f = forward_of()] { kernels::layer_norm_forward(f); }; }},
          {"layer_norm/backward", 20 * elements, 60 * elements, [forward_of, x]() -> std::function<void()> {
             const kernels::LayerNormForward f = forward_of();
             kernels::layer_norm_forward(f);
             const kernels::LayerNormBackward b{.forward = f,
                                                .dout = gpu_normal(x, 5),
                                                .dx = f.out,
                                                .dgamma = gpu_like(f.gamma),
                                                .dbeta = gpu_like(f.beta)};
             return [b] { kernels::layer_norm_backward(b); };
           }}};
}

/// A 3 x 3 convolution of a block's maps after `halvings` of them; backward gives both gradients. In TF32 it may pass
/// the card's peak in float.
KernelCase conv_case(const BenchmarkSizes& s, int halvings, bool backward, bool tf32) {
  const std::int64_t channels = s.channels << halvings;
  const Shape x{s.batch, s.bands >> halvings, s.frames >> halvings, channels};
  const Shape weight{channels, 3, 3, channels};
  const auto maps = static_cast<double>(x.numel());
  const auto with_precision = [tf32](const std::function<void()>& run) {
    kernels::allow_tf32(tf32);
    run();
    kernels::allow_tf32(false);
  };
  return {str("conv/", backward ? "backward" : "forward", tf32 ? "_tf32_" : "_", x[1], "x", x[2], "x", channels),
          (backward ? 12 : 8) * maps, (backward ? 36 : 18) * maps * static_cast<double>(channels),
          [=]() -> std::function<void()> {
            const kernels::ConvForward f{.x = gpu_normal(x),
                                         .weight = gpu_normal(weight, 1),
                                         .bias = gpu_normal({channels}, 2),
                                         .options = ConvOptions::centred(3, 3, 1, 1),
                                         .add = {},
                                         .out = gpu_empty(x)};
            if (!backward) {
              return [=] { with_precision([&] { kernels::conv_forward(f); }); };
            }
            const kernels::ConvBackward b{.x = f.x,
                                          .weight = f.weight,
                                          .options = f.options,
                                          .dout = gpu_normal(x, 3),
                                          .dx = f.out,
                                          .dweight = gpu_empty(weight),
                                          .dbias = gpu_empty({channels})};
            return [=] { with_precision([&] { kernels::conv_backward(b); }); };
          }};
}

KernelCase grouped_linear_case(const BenchmarkSizes& s, bool backward) {
  const std::int64_t inputs = 48;
  const std::int64_t outputs = 32;
  const auto rows = static_cast<double>(s.batch * kEmbedding);
  const double weights = 4.0 * kEmbedding * static_cast<double>(inputs * outputs);
  const double bytes = 4 * rows * static_cast<double>(inputs + outputs) + weights;
  return {str("grouped_linear/", backward ? "backward" : "forward"), (backward ? 2 : 1) * bytes,
          (backward ? 4.0 : 2.0) * rows * static_cast<double>(inputs * outputs), [=]() -> std::function<void()> {
            const kernels::GroupedLinear f{.x = gpu_normal({s.batch, kEmbedding, inputs}),
                                           .w = gpu_normal({kEmbedding, outputs, inputs}, 1),
                                           .b = gpu_normal({kEmbedding, outputs}, 2),
                                           .out = gpu_empty({s.batch, kEmbedding, outputs}),
                                           .activation = kernels::Activation::elu};
            if (!backward) {
              return [f] { kernels::grouped_linear(f); };
            }
            kernels::grouped_linear(f);
            const kernels::GroupedLinearBackward b{f, gpu_normal(f.out.shape(), 3), gpu_like(f.x), gpu_like(f.w),
                                                   gpu_like(f.b)};
            return [b] { kernels::grouped_linear_backward(b); };
          }};
}

KernelCase nt_xent_case(std::int64_t anchors, bool backward) {
  const auto pairs = static_cast<double>(anchors) * static_cast<double>(anchors);
  const double embeddings = 4.0 * static_cast<double>(anchors * kEmbedding);
  return {str("nt_xent/", backward ? "backward_" : "forward_", anchors), (backward ? 3 : 1) * embeddings,
          (backward ? 8 : 2) * pairs * kEmbedding, [=]() -> std::function<void()> {
            const Tensor z = draw({anchors, kEmbedding}, Domain::unit_rows, DType::f32, 3).to(kGpu);
            const kernels::NtXent f{.anchors = z,
                                    .keys = z,
                                    .temperature = 0.05,
                                    .loss = gpu_empty({}),
                                    .top1 = gpu_empty({}),
                                    .logsumexp = gpu_empty({anchors})};
            if (!backward) {
              return [f] { kernels::nt_xent(f); };
            }
            kernels::nt_xent(f);
            const kernels::NtXentBackward b{f, Tensor::full({}, 1, DType::f32, kGpu), gpu_like(z), gpu_like(z)};
            return [b] { kernels::nt_xent_backward(b); };
          }};
}

KernelCase normalize_case(const BenchmarkSizes& s, bool backward) {
  const std::int64_t rows = s.rows / 4;
  const double matrix = 4.0 * static_cast<double>(rows * kEmbedding);
  return {
      str("normalize/", backward ? "backward" : "forward"), (backward ? 3 : 2) * matrix, 0,
      [=]() -> std::function<void()> {
        const kernels::L2Normalize f{gpu_normal({rows, kEmbedding}), gpu_empty({rows, kEmbedding}), gpu_empty({rows})};
        if (!backward) {
          return [f] { kernels::l2_normalize(f); };
        }
        kernels::l2_normalize(f);
        const kernels::L2NormalizeBackward b{f.out, f.norm, gpu_normal({rows, kEmbedding}, 1), gpu_like(f.x)};
        return [b] { kernels::l2_normalize_backward(b); };
      }};
}

}  // namespace

std::vector<KernelCase> training_kernel_cases(const BenchmarkSizes& s) {
  std::vector<KernelCase> all = batch_norm_cases(s);
  for (KernelCase& c : layer_norm_cases(s)) {
    all.push_back(std::move(c));
  }
  for (const bool backward : {false, true}) {
    for (const int halvings : {0, 1, 2}) {
      all.push_back(conv_case(s, halvings, backward, false));
      all.push_back(conv_case(s, halvings, backward, true));
      all.push_back(attention_case(s, halvings, false, backward));
      all.push_back(attention_case(s, halvings, true, backward));
    }
    all.push_back(grouped_linear_case(s, backward));
    all.push_back(normalize_case(s, backward));
    all.push_back(nt_xent_case(s.batch, backward));
    all.push_back(nt_xent_case(s.anchors, backward));
  }
  return all;
}

}  // namespace earmark::testing
