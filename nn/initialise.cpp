#include "nn/initialise.h"

#include <algorithm>

#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::nn {

namespace {

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  return hash;
}

/// Blocks of fixed size, each with its own Philox index: any number of threads draws the same.
template <class Draw>
void fill(const Tensor& tensor, std::uint64_t seed, std::string_view name, Draw draw) {
  constexpr std::int64_t kBlock = 4096;
  const std::uint64_t stream = stream_of(name);
  dispatch_float(tensor.dtype(), [&]<class T>() {
    T* values = tensor.mutable_data<T>();
    parallel_ranges(tensor.numel(), kBlock, [&](std::int64_t begin, std::int64_t end) {
      RandomStream random(seed, stream, static_cast<std::uint64_t>(begin / kBlock));
      std::generate(values + begin, values + end, [&] { return static_cast<T>(draw(random)); });
    });
  });
}

}  // namespace

void fill_normal(const Tensor& tensor, double deviation, std::uint64_t seed, std::string_view name) {
  fill(tensor, seed, name, [=](RandomStream& random) { return deviation * random.normal(); });
}

void fill_uniform(const Tensor& tensor, double bound, std::uint64_t seed, std::string_view name) {
  fill(tensor, seed, name, [=](RandomStream& random) { return random.uniform(-bound, bound); });
}

}  // namespace earmark::nn
