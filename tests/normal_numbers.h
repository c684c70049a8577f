// Numbers of a normal distribution, for tests that ask no more of a tensor or of a sound.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "kernels/tensor.h"

namespace earmark::testing {

/// Of deviation 1 around `mean`, a function of `seed`: drawn in double, then rounded to `dtype`.
inline Tensor normal(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64, double mean = 0) {
  const Tensor t(shape, DType::f64);
  RandomStream random(seed, 1);
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    t.mutable_data<double>()[i] = mean + random.normal();
  }
  return t.to(dtype);
}

/// White noise whose deviation is `amplitude`.
inline std::vector<float> noise(std::int64_t samples, double amplitude = 0.1, std::uint64_t seed = 1) {
  RandomStream random(seed);
  std::vector<float> x(static_cast<std::size_t>(samples));
  for (float& v : x) {
    v = static_cast<float>(amplitude * random.normal());
  }
  return x;
}

}  // namespace earmark::testing
