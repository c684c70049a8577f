// Several tensors as one list of pieces, for what is done to all parameters of a network: pieces are tasks, and sums
// that they make are added up in their order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace earmark::kernels::cpu {

constexpr std::int64_t kChunk = std::int64_t{1} << 14U;  // elements per task: four float arrays of it fit in level 2

/// A piece of one of several tensors.
struct Chunk {
  std::size_t tensor;
  std::int64_t begin;
  std::int64_t end;
};

inline void add_chunks(std::size_t tensor, std::int64_t count, std::vector<Chunk>& chunks) {
  for (std::int64_t begin = 0; begin < count; begin += kChunk) {
    chunks.push_back({tensor, begin, std::min(count, begin + kChunk)});
  }
}

/// Sum of squares in double, in as many independent sums as keep the additions vectorised.
template <class T>
double square_sum(const T* x, std::int64_t count) {
  constexpr std::int64_t kSums = 32;
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t k = 0; k < kSums; ++k) {
      const auto v = static_cast<double>(x[i + k]);
      sums[k] += v * v;
    }
  }
  double total = 0;
  for (; i < count; ++i) {
    total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  for (const double s : sums) {
    total += s;
  }
  return total;
}

}  // namespace earmark::kernels::cpu
