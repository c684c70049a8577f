// Floats rounded to the nearest bf16, as the operands of tiles want them: in rows, transposed, or two rows interleaved.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/tile_unit.h"
#include "kernels/cpu/transpose_lanes.h"

namespace earmark::kernels::cpu {

/// Round to nearest, ties to even; NaN stays NaN.
inline Bf16Bits rounded_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (std::isnan(x)) {
    return static_cast<Bf16Bits>(bits >> 16U | 0x40U);
  }
  return static_cast<Bf16Bits>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U);
}

/// to[i] = from[i], rounded.
inline void round_row(const float* from, std::int64_t count, Bf16Bits* to) {
  std::int64_t i = 0;
#if defined(__AVX512BF16__)
  for (; i + 32 <= count; i += 32) {
    const __m512bh v = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to + i, std::bit_cast<__m512i>(v));
  }
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     std::bit_cast<__m128i>(_mm256_cvtneps_pbh(_mm256_loadu_ps(from + i))));
  }
#endif
  for (; i < count; ++i) {
    to[i] = rounded_bf16(from[i]);
  }
}

/// Sixteen pixels of a map; null: zeros.
using PixelRows = std::array<const float*, 16>;

/// to[c * step + p] = pixels[p][c], rounded, for c in [0, channels) and 16 pixels.
inline void round_transposed(const PixelRows& pixels, std::int64_t channels, Bf16Bits* to, std::int64_t step) {
#if defined(__AVX512BF16__)
  for (std::int64_t c0 = 0; c0 < channels; c0 += 16) {
    const auto valid = static_cast<int>(std::min<std::int64_t>(16, channels - c0));
    Square<float> square;
    for (std::size_t p = 0; p < 16; ++p) {
      square[p] = pixels[p] == nullptr ? Vec<float>{} : load_first(pixels[p] + c0, valid);
    }
    transpose_lanes<float>(square);
    for (int c = 0; c < valid; ++c) {
      const __m256bh v = _mm512_cvtneps_pbh(std::bit_cast<__m512>(square[static_cast<std::size_t>(c)]));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (c0 + c) * step), std::bit_cast<__m256i>(v));
    }
  }
#else
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::size_t p = 0; p < 16; ++p) {
      to[c * step + static_cast<std::int64_t>(p)] = pixels[p] == nullptr ? Bf16Bits{0} : rounded_bf16(pixels[p][c]);
    }
  }
#endif
}

/// to[2 * c] = first[c] and to[2 * c + 1] = second[c], rounded; null: zeros.
inline void round_interleaved(const float* first, const float* second, std::int64_t count, Bf16Bits* to) {
  std::int64_t c = 0;
#if defined(__AVX512BF16__)
  constexpr __mmask16 kAll = 0xffff;  // unmasked, GCC 12 warns of its own intrinsics
  const auto widened = [](const float* from, std::int64_t at) {
    if (from == nullptr) {
      return _mm512_setzero_si512();
    }
    return _mm512_maskz_cvtepu16_epi32(kAll, std::bit_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(from + at))));
  };
  for (; c + 16 <= count; c += 16) {
    const __m512i both = _mm512_or_si512(widened(first, c), _mm512_maskz_slli_epi32(kAll, widened(second, c), 16));
    _mm512_storeu_si512(to + 2 * c, both);
  }
#endif
  for (; c < count; ++c) {
    to[2 * c] = first == nullptr ? Bf16Bits{0} : rounded_bf16(first[c]);
    to[2 * c + 1] = second == nullptr ? Bf16Bits{0} : rounded_bf16(second[c]);
  }
}

}  // namespace earmark::kernels::cpu
