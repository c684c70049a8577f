// The network's convolutions, exact and in TF32: what cuDNN's engines reach on maps of N x F x T x C.
#include "kernels/conv.h"
#include "tests/bench/cuda_benchmark.h"

namespace earmark::testing {
namespace {

enum class Pass { forward, input_gradient, weight_gradient };

/// 3 x 3 over maps of the batch after `halvings` blocks, as many channels out as in.
KernelCase conv_case(const BenchmarkSizes& s, int halvings, Pass pass, bool tf32) {
  const Shape x{s.batch, s.bands >> halvings, s.frames >> halvings, s.channels << halvings};
  const Shape weight{x[3], 3, 3, x[3]};
  const auto maps = static_cast<double>(x.numel());
  const auto weights = static_cast<double>(weight.numel());
  const char* name = pass == Pass::forward          ? "forward"
                     : pass == Pass::input_gradient ? "input_gradient"
                                                    : "weight_gradient";
  return {
      str("conv/", name, tf32 ? "_tf32_" : "_", x[1], "x", x[2], "x", x[3]), 4 * (2 * maps + weights),
      2 * maps / static_cast<double>(x[3]) * weights, [=]() -> std::function<void()> {
        const Tensor map = gpu_normal(x);
        const Tensor taps = gpu_normal(weight, 1);
        const Tensor result = pass == Pass::weight_gradient ? gpu_normal(x, 2) : gpu_like(map);
        const ConvOptions options = ConvOptions::centred(3, 3, 1, 1);
        return [=] {
          kernels::allow_tf32(tf32);
          if (pass == Pass::forward) {
            kernels::conv_forward({.x = map, .weight = taps, .bias = {}, .options = options, .add = {}, .out = result});
          } else if (pass == Pass::input_gradient) {
            kernels::conv_backward(
                {.x = map, .weight = taps, .options = options, .dout = map, .dx = result, .dweight = {}, .dbias = {}});
          } else {
            kernels::conv_backward(
                {.x = map, .weight = taps, .options = options, .dout = result, .dx = {}, .dweight = taps, .dbias = {}});
          }
          kernels::allow_tf32(false);
        };
      }};
}

}  // namespace

std::vector<KernelCase> convolution_kernel_cases(const BenchmarkSizes& s) {
  std::vector<KernelCase> all;
  for (const int halvings : {0, 1, 3}) {
    for (const Pass pass : {Pass::forward, Pass::input_gradient, Pass::weight_gradient}) {
      all.push_back(conv_case(s, halvings, pass, false));
      all.push_back(conv_case(s, halvings, pass, true));
    }
  }
  return all;
}

}  // namespace earmark::testing
