// A thread makes the 16 bytes that it stores: for a normal number a block of Philox, ten rounds of two products of 32
// bits, then a logarithm, a root and a cosine in double, as on the CPU; for two uniform ones a block, and a conversion.
// Floor on an H100: the bytes written over 3.35 TB/s, 20 us for 17 million floats. The operations take longer: some 60
// of integers and 70 in double for a normal number, of either of which 16.7 T are started in a second: 61 and 71 us. A
// sixth to a quarter of the floor is to be expected, half of it of uniform numbers: 0.1 ms, once a training.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/dispatch_type.h"
#include "kernels/random.h"
#include "kernels/random_fill.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWords = 4;  // of a block of Philox

/// RandomPlace, as kernels can read it.
struct Place {
  std::uint32_t key[2];
  std::uint32_t word;
};

/// philox() of kernels/random.h: block `number` of the stream's `index`.
__device__ __forceinline__ void philox_block(const Place& place, std::uint32_t number, std::int64_t index,
                                             std::uint32_t (&out)[kWords]) {
  std::uint32_t c[kWords] = {number, place.word, static_cast<std::uint32_t>(index),
                             static_cast<std::uint32_t>(index >> 32)};
  std::uint32_t key[2] = {place.key[0], place.key[1]};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * c[2];
    c[0] = static_cast<std::uint32_t>(p1 >> 32U) ^ c[1] ^ key[0];
    c[1] = static_cast<std::uint32_t>(p1);
    c[2] = static_cast<std::uint32_t>(p0 >> 32U) ^ c[3] ^ key[1];
    c[3] = static_cast<std::uint32_t>(p0);
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    out[i] = c[i];
  }
}

/// In [0, 1), 53 bits.
__device__ __forceinline__ double uniform_of(std::uint32_t first, std::uint32_t second) {
  const std::uint64_t high = first >> 5U;
  const std::uint64_t low = second >> 6U;
  return static_cast<double>((high << 26U) | low) * 0x1p-53;
}

/// 1 + x / (first * (first + 1)) * (1 + x / ((first + 2) * (first + 3)) * ...): at x = -a², the cosine of a where
/// `first` is 1, and the sine over a where it is 2.
template <int first, int terms>
__device__ __forceinline__ double series(double x) {
  double sum = 1;
#pragma unroll
  for (int i = terms; i > 0; --i) {
    const int n = first + 2 * (i - 1);
    sum = 1 + sum * x * (1.0 / (n * (n + 1)));
  }
  return sum;
}

/// cos(2 pi turn) of a turn in [0, 1), within 2e-16. The library's takes local memory, for angles that there are none
/// of here: what is left after whole quarters, which is exact, is at most pi / 4.
__device__ __forceinline__ double cosine_of_turn(double turn) {
  const int quarters = static_cast<int>(4 * turn + 0.5);
  const double angle = 6.283185307179586476925 * (turn - 0.25 * quarters);
  const double square = -angle * angle;
  const double value = quarters % 2 == 0 ? series<1, 8>(square) : angle * series<2, 8>(square);
  return quarters == 1 || quarters == 2 ? -value : value;
}

struct Uniform {
  static constexpr int kWordsEach = 2;
  __device__ __forceinline__ double operator()(const std::uint32_t* words, double scale) const {
    return -scale + (scale + scale) * uniform_of(words[0], words[1]);
  }
};

struct Normal {
  static constexpr int kWordsEach = 4;
  __device__ __forceinline__ double operator()(const std::uint32_t* words, double scale) const {
    const double radius = sqrt(-2 * log(1 - uniform_of(words[0], words[1])));
    return scale * (radius * cosine_of_turn(uniform_of(words[2], words[3])));
  }
};

/// `wide`: out is aligned for 16 bytes.
template <class T, class Draw>
__global__ void __launch_bounds__(kThreads)
    random_fill_kernel(T* out, std::int64_t count, Place place, double scale, bool wide) {
  constexpr int N = kVector<T>;
  constexpr int kEach = kWords / Draw::kWordsEach;  // numbers of a block of Philox
  for (std::int64_t i = N * thread_index(); i < count; i += N * thread_count()) {
    const std::int64_t index = i / kRandomBlock;
    const auto begin = static_cast<int>(i % kRandomBlock);
    Vector<T, N> values;
#pragma unroll
    for (int k = 0; k < N; k += kEach) {
      std::uint32_t words[kWords];
      philox_block(place, static_cast<std::uint32_t>((begin + k) / kEach), index, words);
#pragma unroll
      for (int j = 0; j < kEach; ++j) {
        values[k + j] = static_cast<T>(Draw{}(words + j * Draw::kWordsEach, scale));
      }
    }
    store_some(out, i, count, wide, values);
  }
}

template <class T, class Draw>
void fill_with(const RandomFill& args) {
  constexpr int N = kVector<T>;
  static_assert(kRandomBlock % N == 0 && N % (kWords / Draw::kWordsEach) == 0);
  const RandomPlace place(args.seed, args.stream);
  T* out = args.out.mutable_data<T>();
  const std::int64_t count = args.out.numel();
  launch(random_fill_kernel<T, Draw>, over((count + N - 1) / N, kThreads), out, count,
         Place{{place.key[0], place.key[1]}, place.word}, args.scale, is_aligned<N>(out));
}

}  // namespace

void random_fill(const RandomFill& args) {
  dispatch_float(args.out.dtype(), [&]<class T>() {
    args.distribution == Distribution::normal ? fill_with<T, Normal>(args) : fill_with<T, Uniform>(args);
  });
}

}  // namespace earmark::kernels::cuda
