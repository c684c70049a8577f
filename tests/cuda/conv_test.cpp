// Convolution where the op cases do not look: what is fused into it, 16-bit types, addresses off the 16-byte grid,
// nothing to do, many plans.
#include "kernels/conv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

class GpuConv : public GpuTest {};

struct Example {
  Tensor x, weight, bias, add, dout;
  ConvOptions options = ConvOptions::centred(3, 3, 2, 1);

  explicit Example(std::int64_t samples = 2)
      : x(draw({samples, 5, 6, 4}, Domain::normal, DType::f64, 1)),
        weight(draw({8, 3, 3, 4}, Domain::normal, DType::f64, 2)),
        bias(draw({8}, Domain::normal, DType::f64, 3)),
        add(draw({samples, 3, 6, 8}, Domain::normal, DType::f64, 4)),
        dout(draw({samples, 3, 6, 8}, Domain::normal, DType::f64, 5)) {}

  Tensor forward(DType dtype, Device device, bool with_bias, bool with_add, bool relu) const {
    const auto move = [&](const Tensor& t) { return t.to(dtype).to(device); };
    const Tensor out(conv_output_shape(x.shape(), weight.shape(), options), dtype, device);
    kernels::conv_forward({.x = move(x),
                           .weight = move(weight),
                           .bias = with_bias ? move(bias) : Tensor(),
                           .options = options,
                           .add = with_add ? move(add) : Tensor(),
                           .relu = relu,
                           .out = out});
    return out;
  }
  kernels::ConvBackward backward(DType dtype, Device device) const {
    const auto move = [&](const Tensor& t) { return t.to(dtype).to(device); };
    const kernels::ConvBackward b{.x = move(x),
                                  .weight = move(weight),
                                  .options = options,
                                  .dout = move(dout),
                                  .dx = empty_like(move(x)),
                                  .dweight = empty_like(move(weight)),
                                  .dbias = empty_like(move(bias))};
    kernels::conv_backward(b);
    return b;
  }
};

TEST_F(GpuConv, AddsBiasAndResidualAndRectifies) {
  const Example e;
  for (const bool bias : {false, true}) {
    for (const bool add : {false, true}) {
      for (const bool relu : {false, true}) {
        const Tensor want = e.forward(DType::f64, {}, bias, add, relu);
        EXPECT_LT(largest_difference(e.forward(DType::f32, kGpu, bias, add, relu), want), 1e-5) << bias << add << relu;
      }
    }
  }
}

/// bf16 keeps 8 bits, so operands alone are off by 2^-9 of themselves; sums are made in float.
TEST_F(GpuConv, SixteenBitTypes) {
  const Example e;
  const Tensor want = e.forward(DType::f64, {}, true, true, true);
  EXPECT_LT(largest_difference(e.forward(DType::bf16, kGpu, true, true, true), want), 0.15);
  EXPECT_LT(largest_difference(e.forward(DType::f16, kGpu, true, true, true), want), 0.02);
  const kernels::ConvBackward exact = e.backward(DType::f64, {});
  const kernels::ConvBackward got = e.backward(DType::bf16, kGpu);
  EXPECT_LT(largest_difference(got.dx, exact.dx), 0.15);
  EXPECT_LT(largest_difference(got.dweight, exact.dweight), 0.2);
  EXPECT_LT(largest_difference(got.dbias, exact.dbias), 0.1);
}

TEST_F(GpuConv, DoubleIsTheCpusDouble) {
  const Example e;
  EXPECT_LT(
      largest_difference(e.forward(DType::f64, kGpu, true, true, true), e.forward(DType::f64, {}, true, true, true)),
      1e-13);
  const kernels::ConvBackward want = e.backward(DType::f64, {});
  const kernels::ConvBackward got = e.backward(DType::f64, kGpu);
  EXPECT_LT(largest_difference(got.dx, want.dx), 1e-13);
  EXPECT_LT(largest_difference(got.dweight, want.dweight), 1e-13);
  EXPECT_LT(largest_difference(got.dbias, want.dbias), 1e-13);
}

TEST_F(GpuConv, OperandsMayBeginAnywhere) {
  const Example e(3);
  const Tensor flat = draw({1 + e.x.numel()}, Domain::normal, DType::f64, 6);
  const Tensor x = flat.slice(1, flat.numel()).reshape(e.x.shape());
  const auto convolve = [&](const Tensor& input, const Tensor& weight) {
    const Tensor out({3, 3, 6, 8}, input.dtype(), input.device());
    kernels::conv_forward(
        {.x = input, .weight = weight, .bias = {}, .options = e.options, .add = {}, .relu = true, .out = out});
    return out;
  };
  const Tensor moved = flat.to(DType::f32).to(kGpu);
  const Tensor got = convolve(moved.slice(1, flat.numel()).reshape(e.x.shape()), e.weight.to(DType::f32).to(kGpu));
  EXPECT_LT(largest_difference(got, convolve(x, e.weight)), 1e-5);
}

TEST_F(GpuConv, NoSamplesHaveZeroGradients) {
  const Tensor x({0, 5, 6, 4}, DType::f32, kGpu);
  const Tensor weight = Tensor::full({8, 3, 3, 4}, 1, DType::f32, kGpu);
  const Tensor dweight = Tensor::full({8, 3, 3, 4}, 7, DType::f32, kGpu);
  const Tensor dbias = Tensor::full({8}, 7, DType::f32, kGpu);
  kernels::conv_backward({.x = x,
                          .weight = weight,
                          .options = ConvOptions::centred(3, 3, 1, 1),
                          .dout = Tensor({0, 5, 6, 8}, DType::f32, kGpu),
                          .dx = empty_like(x),
                          .dweight = dweight,
                          .dbias = dbias});
  EXPECT_EQ(largest_difference(dweight, Tensor::zeros(dweight.shape())), 0);
  EXPECT_EQ(largest_difference(dbias, Tensor::zeros({8})), 0);
}

TEST_F(GpuConv, ThreadsHavePlansOfTheirOwn) {
  const Example e;
  const Tensor want = e.forward(DType::f64, {}, true, false, true);
  std::vector<Tensor> got(3);
  std::vector<std::thread> threads;
  threads.reserve(got.size());
  for (Tensor& to : got) {
    threads.emplace_back([&] { to = e.forward(DType::f32, kGpu, true, false, true).to(Device{}); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Tensor& t : got) {
    EXPECT_LT(largest_difference(t, want), 1e-5);
  }
}

TEST_F(GpuConv, RefusesTypesThatAreNotFloats) {
  const Tensor x({1, 3, 3, 1}, DType::i32, kGpu);
  const Tensor out({1, 3, 3, 1}, DType::i32, kGpu);
  EXPECT_THROW(kernels::conv_forward({.x = x,
                                      .weight = Tensor({1, 3, 3, 1}, DType::i32, kGpu),
                                      .bias = {},
                                      .options = ConvOptions::centred(3, 3, 1, 1),
                                      .add = {},
                                      .out = out}),
               Error);
}

}  // namespace
}  // namespace earmark::testing
