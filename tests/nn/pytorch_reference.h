// The numbers that tools/pytorch_reference.py makes up from an integer hash, and the digests it keeps, in C++.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "nn/encoder.h"

namespace earmark::nn {

/// `count` uniform values in [-1, 1), each exact in float: a function of (stream, index).
inline std::vector<double> hashed(std::int64_t count, std::uint32_t stream) {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t x = static_cast<std::uint32_t>(i) + stream * 0x9E3779B9U;
    x = (x ^ (x >> 16U)) * 0x7FEB352DU;
    x = (x ^ (x >> 15U)) * 0x846CA68BU;
    x ^= x >> 16U;
    values.push_back(static_cast<double>(x >> 8U) / 8388608.0 - 1.0);
  }
  return values;
}

/// Starting values of parameter number `index` of an encoder of type `type`: rounded to float in either type.
inline void fill_start_values(const NamedParameter& parameter, std::size_t index, std::uint32_t seed,
                              const std::string& type = "attention") {
  const Tensor& tensor = parameter.variable.value();
  const std::string& name = parameter.name;
  std::vector<double> values = hashed(tensor.numel(), 100000 * seed + static_cast<std::uint32_t>(index) + 1);
  double centre = 0;
  double amplitude = 0.25;
  if (name.starts_with("block") && name.find("attention") != std::string::npos) {
    amplitude = 0.15;
  } else if (name.find(".norm") != std::string::npos) {
    centre = name.ends_with("weight") ? 1 : 0;
  } else if (type == "nafp" && name.ends_with(".bias")) {
    amplitude = 0.05;  // more, and all fingerprints were one: no batch normalisation takes them away
  } else {
    const std::int64_t fan_in = name.starts_with("head") ? tensor.dim(-1) : tensor.numel() / tensor.dim(0);
    amplitude = std::sqrt(2.0 / static_cast<double>(fan_in));
  }
  for (double& v : values) {
    v = static_cast<double>(static_cast<float>(centre + amplitude * v));
  }
  tensor.copy_from(Tensor::from<double>(tensor.shape(), values).to(tensor.dtype()));
}

/// Segments (count, F, T, 1) of a training step.
inline Tensor made_up_segments(std::uint32_t seed, const EncoderOptions& options, std::int64_t count, int step,
                               DType dtype) {
  const Shape shape{count, options.bands, options.frames, 1};
  return Tensor::from<double>(shape, hashed(shape.numel(), 100000 * seed + static_cast<std::uint32_t>(1000 + step)))
      .to(dtype);
}

/// The norm, three projections on random signs, sixteen evenly spaced elements.
inline std::vector<double> digest(const Tensor& tensor) {
  const Tensor exact = tensor.to(DType::f64);
  const std::span<const double> x = exact.values<double>();
  std::vector<double> out(4, 0.0);
  for (const double v : x) {
    out[0] += v * v;
  }
  out[0] = std::sqrt(out[0]);
  for (std::uint32_t k = 0; k < 3; ++k) {
    const std::vector<double> signs = hashed(exact.numel(), 5000 + k);
    for (std::size_t i = 0; i < x.size(); ++i) {
      out[k + 1] += signs[i] < 0 ? -x[i] : x[i];
    }
  }
  for (std::size_t i = 0; i < 16; ++i) {
    out.push_back(x[i * x.size() / 16]);
  }
  return out;
}

}  // namespace earmark::nn
