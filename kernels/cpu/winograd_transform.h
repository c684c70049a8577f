// The transforms of Winograd's F(2x2, 3x3), on vectors of channels.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

inline constexpr int kWinogradPoints = 16;

/// Tiles of 2 x 2 outputs over F x T maps of a batch, in row-major order.
struct TileGrid {
  std::int64_t f, t;           // of the map
  std::int64_t rows, columns;  // tiles
  TileGrid(std::int64_t map_f, std::int64_t map_t)
      : f(map_f), t(map_t), rows((map_f + 1) / 2), columns((map_t + 1) / 2) {}
  std::int64_t per_sample() const { return rows * columns; }

  struct Place {
    std::int64_t n, f, t;  // sample and first output
  };
  Place place(std::int64_t tile) const {
    const std::int64_t in_sample = tile % per_sample();
    return {tile / per_sample(), in_sample / columns * 2, in_sample % columns * 2};
  }
};

/// y = B' x for one row or column of four.
template <class T>
inline void winograd_input_row(Vec<T>& a, Vec<T>& b, Vec<T>& c, Vec<T>& d) {
  const Vec<T> y0 = a - c;
  const Vec<T> y1 = b + c;
  const Vec<T> y2 = c - b;
  const Vec<T> y3 = b - d;
  a = y0;
  b = y1;
  c = y2;
  d = y3;
}

/// Transforms one vector of channels of a tile: `pixel(i)` points at input i of 4 x 4, results go `step` apart.
template <class T, bool Full, class Pixel>
inline void winograd_input_vector(const Pixel& pixel, int valid, T* out, std::int64_t step) {
  const int count = Full ? kLanes<T> : valid;
  Vec<T> d[kWinogradPoints];
#pragma GCC unroll 16
  for (int i = 0; i < kWinogradPoints; ++i) {
    d[i] = load_first(pixel(i), count);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    winograd_input_row<T>(d[i], d[4 + i], d[8 + i], d[12 + i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    winograd_input_row<T>(d[4 * i], d[4 * i + 1], d[4 * i + 2], d[4 * i + 3]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kWinogradPoints; ++i) {
    store_first<T>(out + i * step, d[i], count);
  }
}

/// A whole tile; `pixel(i)` points at the channels of input i.
template <class T, class Pixel>
inline void winograd_input_tile(const Pixel& pixel, std::int64_t channels, T* out, std::int64_t step) {
  std::int64_t c = 0;
  for (; c + kLanes<T> <= channels; c += kLanes<T>) {
    winograd_input_vector<T, true>([&](int i) { return pixel(i) + c; }, kLanes<T>, out + c, step);
  }
  if (c < channels) {
    winograd_input_vector<T, false>([&](int i) { return pixel(i) + c; }, static_cast<int>(channels - c), out + c, step);
  }
}

/// y = A' M A of one tile: `m` holds 16 points `step` apart; y in row-major order.
template <class T>
inline void winograd_output(const T* m, std::int64_t step, int valid, Vec<T> (&y)[4]) {
  Vec<T> top[4];
  Vec<T> bottom[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Vec<T> m0 = load_first(m + i * step, valid);
    const Vec<T> m1 = load_first(m + (4 + i) * step, valid);
    const Vec<T> m2 = load_first(m + (8 + i) * step, valid);
    const Vec<T> m3 = load_first(m + (12 + i) * step, valid);
    top[i] = m0 + m1 + m2;
    bottom[i] = m1 - m2 - m3;
  }
  y[0] = top[0] + top[1] + top[2];
  y[1] = top[1] - top[2] - top[3];
  y[2] = bottom[0] + bottom[1] + bottom[2];
  y[3] = bottom[1] - bottom[2] - bottom[3];
}

/// A dy A' of one tile's 2 x 2 gradients, to 16 points `step` apart.
template <class T>
void winograd_gradient_tile(const std::array<const T*, 4>& pixels, std::int64_t channels, T* out, std::int64_t step) {
  for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
    const auto valid = static_cast<int>(channels - c < kLanes<T> ? channels - c : kLanes<T>);
    const Vec<T> y00 = load_first(pixels[0] + c, valid);
    const Vec<T> y01 = load_first(pixels[1] + c, valid);
    const Vec<T> y10 = load_first(pixels[2] + c, valid);
    const Vec<T> y11 = load_first(pixels[3] + c, valid);
    const Vec<T> left[4] = {y00, y00 + y10, y00 - y10, -y10};
    const Vec<T> right[4] = {y01, y01 + y11, y01 - y11, -y11};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      T* at = out + 4 * i * step + c;
      store_first<T>(at, left[i], valid);
      store_first<T>(at + step, left[i] + right[i], valid);
      store_first<T>(at + 2 * step, left[i] - right[i], valid);
      store_first<T>(at + 3 * step, -right[i], valid);
    }
  }
}

/// U = G g G' for `channels` neighbouring weights: taps `channels` apart in g, points `channels` apart in u.
template <class T>
void winograd_weight(const T* g, bool flipped, std::int64_t channels, T* u) {
  for (std::int64_t c = 0; c < channels; ++c) {
    T rows[4][3];
    for (int b = 0; b < 3; ++b) {
      const auto at = [&](int a) { return g[(flipped ? 8 - (3 * a + b) : 3 * a + b) * channels + c]; };
      const T even = (at(0) + at(2)) / 2;
      const T odd = at(1) / 2;
      rows[0][b] = at(0);
      rows[1][b] = even + odd;
      rows[2][b] = even - odd;
      rows[3][b] = at(2);
    }
    for (int a = 0; a < 4; ++a) {
      const T even = (rows[a][0] + rows[a][2]) / 2;
      const T odd = rows[a][1] / 2;
      T* to = u + 4 * a * channels + c;
      to[0] = rows[a][0];
      to[channels] = even + odd;
      to[2 * channels] = even - odd;
      to[3 * channels] = rows[a][2];
    }
  }
}

/// dg = G' du G: points `step` apart in du, taps `channels` apart in dg.
template <class T>
void winograd_weight_back(const T* du, std::int64_t step, std::int64_t channels, T* dg) {
  for (std::int64_t c = 0; c < channels; ++c) {
    T rows[3][4];
    for (int b = 0; b < 4; ++b) {
      const auto at = [&](int a) { return du[(4 * a + b) * step + c]; };
      const T even = (at(1) + at(2)) / 2;
      rows[0][b] = at(0) + even;
      rows[1][b] = (at(1) - at(2)) / 2;
      rows[2][b] = even + at(3);
    }
    for (int a = 0; a < 3; ++a) {
      const T even = (rows[a][1] + rows[a][2]) / 2;
      dg[(3 * a) * channels + c] = rows[a][0] + even;
      dg[(3 * a + 1) * channels + c] = (rows[a][1] - rows[a][2]) / 2;
      dg[(3 * a + 2) * channels + c] = even + rows[a][3];
    }
  }
}

}  // namespace earmark::kernels::cpu
