#include "kernels/cpu/conv_panels.h"

namespace earmark::kernels::cpu {
namespace {

template <class T>
int tile_vectors(std::int64_t columns) {
  const auto vectors = static_cast<int>((columns + kLanes<T> - 1) / kLanes<T>);
  return vectors > 2 ? kWidestTile : std::min(vectors, kWidestTile);
}

/// One depth x width piece of a panel from weights whose element (k, column) sits at k * k_step + column * column_step.
/// Squares of 16 x 16, so that both sides stay in L1 whichever of them is contiguous.
template <class T>
void pack_piece(const T* weight, std::int64_t k_step, std::int64_t column_step, std::int64_t depth, std::int64_t valid,
                std::int64_t width, T* to) {
  constexpr std::int64_t kSquare = 16;
  for (std::int64_t c0 = 0; c0 < valid; c0 += kSquare) {
    const std::int64_t c1 = std::min(valid, c0 + kSquare);
    for (std::int64_t k0 = 0; k0 < depth; k0 += kSquare) {
      const std::int64_t k1 = std::min(depth, k0 + kSquare);
      for (std::int64_t c = c0; c < c1; ++c) {
        for (std::int64_t k = k0; k < k1; ++k) {
          to[k * width + c] = weight[k * k_step + c * column_step];
        }
      }
    }
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    std::fill(to + k * width + valid, to + (k + 1) * width, T{0});
  }
}

}  // namespace

template <class T>
Panels<T>::Panels(std::int64_t tap_count, std::int64_t inputs, std::int64_t outputs, std::int64_t depth_chunk)
    : taps(tap_count), depth(inputs), columns(outputs), chunk(depth_chunk), vectors(tile_vectors<T>(outputs)) {
  data = Tensor({(columns + width() - 1) / width(), taps * depth, width()}, dtype_of<T>);
}

template <class T>
void Panels<T>::fill(const T* weight, std::int64_t tap_step, std::int64_t k_step, std::int64_t column_step) const {
  parallel_for(blocks(), [&](std::int64_t b) {
    T* at = data.template mutable_data<T>() + b * taps * depth * width();
    for (std::int64_t k0 = 0; k0 < depth; k0 += chunk) {
      const std::int64_t count = std::min(chunk, depth - k0);
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        const T* from = weight + tap * tap_step + k0 * k_step + b * width() * column_step;
        pack_piece(from, k_step, column_step, count, valid_columns(b), width(), at);
        at += count * width();
      }
    }
  });
}

template struct Panels<float>;
template struct Panels<double>;

}  // namespace earmark::kernels::cpu
