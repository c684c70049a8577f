// Every operation case: float against double, and one thread against several.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/parallel.h"
#include "tests/compare_tensors.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

/// The value and every input's gradient, in order.
std::vector<Tensor> results(const OpCase& c, const std::vector<Shape>& shapes, DType dtype) {
  const std::vector<Variable> inputs = make_inputs(c, shapes, dtype, 7);
  const Variable out = c.build(inputs);
  std::vector<Tensor> all{out.value().clone()};
  out.backward(draw(out.shape(), Domain::normal, dtype, 8, 99));
  for (const Variable& input : inputs) {
    all.push_back(input.grad());
  }
  return all;
}

class Operation : public ::testing::TestWithParam<OpCase> {};

TEST_P(Operation, InFloatIsCloseToDouble) {
  const OpCase& c = GetParam();
  const std::vector<Tensor> exact = results(c, c.inputs, DType::f64);
  const std::vector<Tensor> single = results(c, c.inputs, DType::f32);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const Tensor got = single[i].to(DType::f64);
    const double scale = norm(exact[i]);
    double error = 0;
    for (std::int64_t k = 0; k < got.numel(); ++k) {
      error += std::pow(got.data<double>()[k] - exact[i].data<double>()[k], 2);
    }
    EXPECT_LE(std::sqrt(error), 2e-5 * scale + 5e-6) << (i == 0 ? "value" : "gradient of input ") << i;
  }
}

TEST_P(Operation, GivesTheSameBitsForAnyThreadCount) {
  const OpCase& c = GetParam();
  const int before = num_threads();
  set_num_threads(1);
  const std::vector<Tensor> one = results(c, c.inputs, DType::f32);
  set_num_threads(3);
  const std::vector<Tensor> three = results(c, c.inputs, DType::f32);
  set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(std::memcmp(one[i].raw(), three[i].raw(), one[i].bytes()), 0) << "result " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Operation, ::testing::ValuesIn(op_cases()),
                         [](const auto& param) { return test_name(param.param); });

TEST(OpCases, HaveNamesOfTheirOwn) {
  std::vector<std::string> names;
  for (const OpCase& c : op_cases()) {
    names.push_back(test_name(c));
  }
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
}

}  // namespace
}  // namespace earmark::testing
