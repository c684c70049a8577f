// Hash tables of LSH and probes into them, as kernels read them. For gather.cu.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace earmark::kernels::cuda {

/// A BucketTable as kernels read it.
struct Buckets {
  const unsigned long long* occupied;
  const std::uint32_t* before;
  const std::uint32_t* offsets;
  const std::uint32_t* entries;
};

struct Bucket {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

__device__ __forceinline__ Bucket bucket_of(const Buckets& table, std::int32_t number) {
  const unsigned long long word = table.occupied[number / 64];
  const unsigned long long bit = 1ULL << (number % 64);
  if ((word & bit) == 0) {
    return {};
  }
  const std::uint32_t at = table.before[number / 64] + static_cast<std::uint32_t>(__popcll(word & (bit - 1)));
  return {table.offsets[at], table.offsets[at + 1]};
}

struct Probes {
  const std::int32_t* tables;   // (m, count)
  const std::int32_t* buckets;  // (m, count)
  std::int64_t count;
};

/// What of a query's probes is looked into: how many of them, and their entries.
struct Extent {
  std::int64_t probes;
  std::int64_t entries;
};

}  // namespace earmark::kernels::cuda
