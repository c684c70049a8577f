// Two bf16 numbers in the place of a float: products of such pairs, summed in float, are one instruction for twice the
// multiply-adds where processors have it (AVX512_BF16: AMD from Zen 4 on, Intel's Cooper Lake), some vector operations
// elsewhere. Maps and weights of pairs are tensors of floats that are never calculated with, only copied: their bits
// are the pair, the first number in the lower half.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace earmark::kernels::cpu {

/// Products for multiply_tile: sum += first * first + second * second.
struct Bf16PairProducts {
  static constexpr bool kHalves = false;

  static void add(Vec<float>& sum, float pair, const Vec<float>& weights) {
    const Vec<float> pairs = broadcast(pair);
#if defined(__AVX512BF16__)
    sum = _mm512_dpbf16_ps(sum, std::bit_cast<__m512bh>(pairs), std::bit_cast<__m512bh>(weights));
#else
    sum += first_of(pairs) * first_of(weights);
    sum += second_of(pairs) * second_of(weights);
#endif
  }

 private:
  typedef std::uint32_t Bits __attribute__((vector_size(kVectorBytes)));

  static Vec<float> first_of(const Vec<float>& pairs) {
    return std::bit_cast<Vec<float>>(std::bit_cast<Bits>(pairs) << 16U);
  }
  static Vec<float> second_of(const Vec<float>& pairs) {
    return std::bit_cast<Vec<float>>(std::bit_cast<Bits>(pairs) & 0xffff0000U);
  }
};

}  // namespace earmark::kernels::cpu
