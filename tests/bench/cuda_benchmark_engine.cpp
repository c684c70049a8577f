// Elementwise kernels, sums, permutes and the optimiser.
#include "kernels/cuda/memory.h"
#include "kernels/elementwise.h"
#include "kernels/lamb.h"
#include "kernels/optimizer.h"
#include "kernels/permute.h"
#include "kernels/random_fill.h"
#include "kernels/reduce.h"
#include "kernels/residual.h"
#include "tests/bench/cuda_benchmark.h"

namespace earmark::testing {
namespace {

Shape activations(const BenchmarkSizes& s) { return {s.batch, s.bands, s.frames, s.channels}; }

double count(const Shape& shape) { return static_cast<double>(shape.numel()); }

/// A kernel of one or two inputs of `shape` and one result, all float.
template <class F>
KernelCase streaming(const std::string& name, const Shape& shape, int inputs, F f) {
  return {name, 4 * (inputs + 1) * count(shape), 0, [shape, f]() -> std::function<void()> {
            const Tensor a = gpu_normal(shape);
            const Tensor b = gpu_normal(shape, 1);
            const Tensor out = gpu_like(a);
            return [a, b, out, f] { f(a, b, out); };
          }};
}

std::vector<KernelCase> streaming_cases(const BenchmarkSizes& s) {
  using kernels::ResidualReluBackward;
  using kernels::ResidualReluForward;
  const Shape x = activations(s);
  using Const = const Tensor&;
  return {
      streaming("add", x, 2, [](Const a, Const b, Const out) { kernels::add(a, b, out); }),
      streaming("relu", x, 1, [](Const a, Const, Const out) { kernels::relu(a, out); }),
      streaming("elu", x, 1, [](Const a, Const, Const out) { kernels::elu(a, out); }),
      streaming("residual_relu/forward", x, 2,
                [](Const a, Const b, Const out) {
                  kernels::residual_relu_forward({a, b, out});
                }),
      streaming("residual_relu/backward", x, 2,
                [](Const a, Const b, Const out) {
                  kernels::residual_relu_backward({a, b, out});
                }),
      streaming("fill", x, 0, [](Const, Const, Const out) { out.fill(0.5); }),
      streaming("permute/channels_first", x, 1,
                [](Const a, Const, Const out) {
                  kernels::permute(a, std::array{0, 3, 1, 2}, out.reshape({a.dim(0), a.dim(3), a.dim(1), a.dim(2)}));
                }),
      streaming("permute/time_first", x, 1,
                [](Const a, Const, Const out) {
                  kernels::permute(a, std::array{0, 2, 1, 3}, out.reshape({a.dim(0), a.dim(2), a.dim(1), a.dim(3)}));
                }),
  };
}

KernelCase sum_case(const BenchmarkSizes& s) {
  const Shape x = activations(s);
  return {"sum/columns", 4 * count(x), 0, [x]() -> std::function<void()> {
            const Tensor from = gpu_normal(x);
            const Tensor out = gpu_empty({x[3]});
            return [from, out] { kernels::sum(from, out); };
          }};
}

/// Operations: ten rounds of Philox, a logarithm, a root and a cosine, of which only those in float would count.
KernelCase random_case(const BenchmarkSizes& s) {
  const Shape x = activations(s);
  return {"random_fill/normal", 4 * count(x), 0, [x]() -> std::function<void()> {
            const Tensor out = gpu_empty(x);
            return [out] { kernels::random_fill({out, kernels::Distribution::normal, 1, 1, 2}); };
          }};
}

KernelCase cast_case(const BenchmarkSizes& s) {
  const Shape x = activations(s);
  return {"cast/bf16", 6 * count(x), 0, [x]() -> std::function<void()> {
            const Tensor from = gpu_normal(x);
            const Tensor out(x, DType::bf16, kGpu);
            return [from, out] { kernels::cast(from, out); };
          }};
}

/// As many parameters as the encoder has at this width: 16.6 million at 32.
std::vector<kernels::AdamParameter> parameters(const BenchmarkSizes& s) {
  std::vector<kernels::AdamParameter> all;
  for (int i = 0; i < 60; ++i) {
    const Shape shape{i % 4 == 0 ? s.width * s.width : s.width};
    all.push_back({gpu_normal(shape), gpu_normal(shape, 1), Tensor::zeros(shape, DType::f32, kGpu),
                   Tensor::zeros(shape, DType::f32, kGpu)});
  }
  return all;
}

std::vector<KernelCase> optimizer_cases(const BenchmarkSizes& s) {
  const auto elements = static_cast<double>(15 * s.width * s.width + 45 * s.width);
  return {{"adam", 28 * elements, 12 * elements,
           [s]() -> std::function<void()> { return [all = parameters(s)] { kernels::adam_step(all, {}); }; }},
          {"lamb", 40 * elements, 30 * elements,
           [s]() -> std::function<void()> { return [all = parameters(s)] { kernels::lamb_step(all, {}); }; }},
          {"grad_norm", 4 * elements, 2 * elements, [s]() -> std::function<void()> {
             std::vector<Tensor> gradients;
             for (const kernels::AdamParameter& p : parameters(s)) {
               gradients.push_back(p.grad);
             }
             return [gradients] { kernels::grad_norm(gradients); };
           }}};
}

}  // namespace

BenchmarkSizes::BenchmarkSizes(bool small)
    : batch(small ? 2 : 512),
      bands(small ? 8 : 64),
      frames(small ? 12 : 96),
      channels(small ? 8 : 32),
      width(small ? 16 : 1024),
      anchors(small ? 64 : 8192),
      rows(small ? 2048 : 1 << 20),
      samples(small ? 1920 : 31872),
      matrix(small ? 32 : 8192) {}

Tensor gpu_empty(const Shape& shape) { return Tensor(shape, DType::f32, kGpu); }
Tensor gpu_like(const Tensor& t) { return empty_like(t); }

Tensor gpu_normal(const Shape& shape, std::uint64_t stream) {
  const Tensor out = gpu_empty(shape);
  kernels::random_fill({out, kernels::Distribution::normal, 1, 11, stream});
  return out;
}

std::vector<KernelCase> engine_kernel_cases(const BenchmarkSizes& s) {
  std::vector<KernelCase> all = streaming_cases(s);
  for (const std::vector<KernelCase>& part :
       {std::vector{sum_case(s), cast_case(s), random_case(s)}, optimizer_cases(s)}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace earmark::testing
