// Non-finite numbers and more elements than a launch has threads.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/residual.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

class GpuElementwise : public GpuTest {};

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr std::array<float, 7> kSpecial{kNaN, kInfinity, -kInfinity, 0.0F, -0.0F, 1.5F, -1.5F};

void expect_same(const Tensor& there, const Tensor& here) {
  const Tensor got = there.to(Device{});
  for (std::int64_t i = 0; i < here.numel(); ++i) {
    const float want = here.data<float>()[i];
    const float value = got.data<float>()[i];
    EXPECT_TRUE(std::isnan(want) ? std::isnan(value) : std::abs(value - want) < 1e-6F || value == want)
        << "element " << i << ": " << value << ", expected " << want;
  }
}

template <class F>
void expect_same_everywhere(F f) {
  const Tensor x = Tensor::from<float>({7}, kSpecial);
  const Tensor here({7});
  const Tensor there({7}, DType::f32, kGpu);
  f(x, here);
  f(x.to(kGpu), there);
  expect_same(there, here);
}

TEST_F(GpuElementwise, KeepsNaNAndInfinityLikeTheCpu) {
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::relu(x, out); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::elu(x, out); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::relu_backward(x, x, out); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::elu_backward(x, x, out); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::residual_relu_forward({x, x, out}); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::residual_relu_backward({x, x, out}); });
  expect_same_everywhere([](const Tensor& x, const Tensor& out) { kernels::mul(x, x, out); });
}

TEST_F(GpuElementwise, KeepsNaNAndInfinityInBf16LikeTheCpu) {
  const Tensor x = Tensor::from<float>({7}, kSpecial).to(DType::bf16);
  const Tensor here({7}, DType::bf16);
  const Tensor there({7}, DType::bf16, kGpu);
  const auto expect_the_same = [&] { expect_same(there.to(DType::f32), here.to(DType::f32)); };
  kernels::add(x, x, here);
  kernels::add(x.to(kGpu), x.to(kGpu), there);
  expect_the_same();
  kernels::residual_relu_forward({x, x, here});
  kernels::residual_relu_forward({x.to(kGpu), x.to(kGpu), there});
  expect_the_same();
  kernels::residual_relu_backward({x, x, here});
  kernels::residual_relu_backward({x.to(kGpu), x.to(kGpu), there});
  expect_the_same();
}

TEST_F(GpuElementwise, CastsLikeTheCpu) {
  const Tensor x = Tensor::from<float>({7}, kSpecial);
  for (const DType dtype : {DType::f64, DType::bf16}) {
    const Tensor here({7}, dtype);
    const Tensor there({7}, dtype, kGpu);
    const Tensor back({7}, DType::f32, kGpu);
    kernels::cast(x, here);
    kernels::cast(x.to(kGpu), there);
    kernels::cast(there, back);
    expect_same(back, here.to(DType::f32));
  }
}

TEST_F(GpuElementwise, StridesOverWhatIsLargerThanTheGrid) {
  const std::int64_t count = std::int64_t{4096} * 256 * 4 + 4099;
  const Tensor x = Tensor::full({count}, 1, DType::f32, kGpu);
  kernels::add(x, x, x);
  const Tensor back = x.to(Device{});
  EXPECT_TRUE(std::ranges::all_of(back.values<float>(), [](float v) { return v == 2; }));
}

}  // namespace
}  // namespace earmark::testing
