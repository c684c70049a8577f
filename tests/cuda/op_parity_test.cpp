// Every operation case on the GPU, in float and, where it may be, in bf16: against the CPU in double, with at most
// twice the error of the CPU in the same type.
#include <gtest/gtest.h>

#include "tests/cuda/op_results.h"

namespace earmark::testing {
namespace {

class OnTheGpu : public GpuTestWithParam<OpCase> {};

TEST_P(OnTheGpu, ErrsAtMostTwiceAsMuchAsTheCpu) {
  const OpCase& c = GetParam();
  // Of a result's length 1e-7: about one unit in the last place.
  expect_as_exact(op_results(c, DType::f64, {}), op_results(c, DType::f32, {}), op_results(c, DType::f32, kGpu), 1e-7);
}

/// With maps stored in bf16: against the same numbers in double.
class InBf16OnTheGpu : public GpuTestWithParam<OpCase> {};

TEST_P(InBf16OnTheGpu, ErrsAtMostTwiceAsMuchAsTheCpu) {
  const OpCase& c = GetParam();
  // What is not stored in bf16 is as good as in float.
  expect_as_exact(bf16_results(c, true), bf16_results(c, false), bf16_results(c, false, kGpu), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Ops, InBf16OnTheGpu, ::testing::ValuesIn(bf16_op_cases()),
                         [](const auto& param) { return test_name(param.param); });

INSTANTIATE_TEST_SUITE_P(Ops, OnTheGpu, ::testing::ValuesIn(op_cases()),
                         [](const auto& param) { return test_name(param.param); });

}  // namespace
}  // namespace earmark::testing
