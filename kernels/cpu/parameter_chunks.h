// What optimisers do before and around their arithmetic: ask the gate, and go through all parameters in pieces.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cpu/tensor_chunks.h"
#include "kernels/optimizer.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {

/// The options with the gradients' scale that the gate tells, where there is one; none where it is shut: nothing moves.
inline std::optional<AdamOptions> through_gate(const AdamOptions& given) {
  AdamOptions options = given;
  if (given.gate) {
    options.gradient_scale = given.gate.data<double>()[1];
    if (std::isnan(options.gradient_scale)) {
      return {};
    }
  }
  return options;
}

/// The pieces of all parameters that have a gradient.
inline std::vector<Chunk> chunks_of(std::span<const AdamParameter> parameters) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].grad) {
      add_chunks(i, parameters[i].value.numel(), chunks);
    }
  }
  return chunks;
}

/// f(i, parameter, chunk, coefficients) for chunk i of all, in parallel; of `single` or `twice`, the coefficients are
/// those of the parameter's type.
template <class Single, class Twice, class F>
void for_each_chunk(std::span<const AdamParameter> parameters, const std::vector<Chunk>& chunks, const Single& single,
                    const Twice& twice, const F& f) {
  parallel_for(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t task) {
    const auto i = static_cast<std::size_t>(task);
    const AdamParameter& p = parameters[chunks[i].tensor];
    if (p.value.dtype() == DType::f32) {
      f(i, p, chunks[i], single);
    } else {
      f(i, p, chunks[i], twice);
    }
  });
}

}  // namespace earmark::kernels::cpu
