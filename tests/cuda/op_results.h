// What an operation gives on a GPU, and how far that may be from what is right.
#pragma once

#include <vector>

#include "tests/cuda/gpu.h"
#include "tests/op_cases.h"

namespace earmark::testing {

/// The value and every input's gradient, in order, brought to the CPU in double.
inline std::vector<Tensor> op_results(const OpCase& c, DType dtype, Device device) {
  const std::vector<Variable> inputs = make_inputs(c, c.inputs, dtype, 7, device);
  const Variable out = c.build(inputs);
  EXPECT_EQ(out.value().device(), device);
  std::vector<Tensor> all{out.value().to(Device{}).to(DType::f64)};
  out.backward(draw(out.shape(), Domain::normal, dtype, 8, 99).to(device));
  for (const Variable& input : inputs) {
    EXPECT_EQ(input.grad().device(), device);
    all.push_back(input.grad().to(Device{}).to(DType::f64));
  }
  return all;
}

/// Each result's distance from the exact one: at most twice the CPU's in the same type, and `floor` of its length.
inline void expect_as_exact(const std::vector<Tensor>& exact, const std::vector<Tensor>& cpu,
                            const std::vector<Tensor>& gpu, double floor) {
  for (std::size_t i = 0; i < exact.size(); ++i) {
    ASSERT_EQ(gpu[i].shape(), exact[i].shape());
    EXPECT_LE(distance(gpu[i], exact[i]), 2 * distance(cpu[i], exact[i]) + floor * (1 + length(exact[i])))
        << (i == 0 ? "value" : "gradient of input ") << i;
  }
}

}  // namespace earmark::testing
