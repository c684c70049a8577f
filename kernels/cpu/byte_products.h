// Products of bytes (byte_rows.h): four at a time in each lane, and how far they are from the products of floats. One
// operand's bytes are unsigned, 128 more than they were: what that adds is taken off by the other's sum.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

using Floats = Vec<float>;
using Ints = Vec<std::int32_t>;

/// Four bytes together: ^ makes signed ones unsigned, each 128 more.
inline constexpr std::int32_t kUnsignedBytes = static_cast<std::int32_t>(0x80808080U);

/// sums + the products of four unsigned and four signed bytes in each lane.
inline Ints add_byte_products(Ints sums, Ints unsigned_bytes, Ints signed_bytes) {
#if defined(__AVX512VNNI__)
  return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums),
                                                    reinterpret_cast<__m512i>(unsigned_bytes),
                                                    reinterpret_cast<__m512i>(signed_bytes)));
#elif defined(__AVXVNNI__)
  return reinterpret_cast<Ints>(_mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sums),
                                                        reinterpret_cast<__m256i>(unsigned_bytes),
                                                        reinterpret_cast<__m256i>(signed_bytes)));
#else
  for (int shift = 0; shift < 32; shift += 8) {
    const Ints a = (unsigned_bytes >> shift) & 255;
    const Ints b = (signed_bytes << (24 - shift)) >> 24;
    sums += a * b;
  }
  return sums;
#endif
}

/// What a sum of products with unsigned bytes begins with, for a row with these facts.
inline std::int32_t sum_begin(const float* facts) { return -128 * static_cast<std::int32_t>(facts[3]); }

/// How far a query's product with a row can be from scale * row's scale * product of the bytes: at most
/// per_kept_length * row's second fact + per_missing_length * row's third, what computing it in float loses included.
/// For x = kept + missing and y = kept' + missing': <x, y> - <kept, kept'> = <kept, missing'> + <missing, y>.
struct ByteBound {
  float scale;
  float per_kept_length;
  float per_missing_length;
};

/// `facts` of the query.
inline ByteBound bound_of(const float* facts, std::int64_t dimension) {
  const double lost = static_cast<double>(dimension + 32) * std::ldexp(1.0, -23);
  const double length = static_cast<double>(facts[1]) + facts[2];
  return {facts[0], static_cast<float>(facts[2] + lost * length), static_cast<float>((1 + lost) * length)};
}

/// Whether there is a bound at all.
inline bool is_known(const float* facts) { return facts[2] < std::numeric_limits<float>::max(); }

}  // namespace earmark::kernels::cpu
