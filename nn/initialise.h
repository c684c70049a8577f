// Starting values of parameters. Each is drawn from a Philox stream of its own, keyed by the parameter's name, so that
// options which add parameters leave the others as they were.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/tensor.h"

namespace earmark::nn {

/// Every element from N(0, deviation²). f32 or f64; both get the same draws. On any device.
void fill_normal(const Tensor& tensor, double deviation, std::uint64_t seed, std::string_view name);
/// Every element uniform in [-bound, bound).
void fill_uniform(const Tensor& tensor, double bound, std::uint64_t seed, std::string_view name);

}  // namespace earmark::nn
