#include "nn/initialise.h"

#include "kernels/random_fill.h"

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

}  // namespace

void fill_normal(const Tensor& tensor, double deviation, std::uint64_t seed, std::string_view name) {
  kernels::random_fill({tensor, kernels::Distribution::normal, deviation, seed, stream_of(name)});
}

void fill_uniform(const Tensor& tensor, double bound, std::uint64_t seed, std::string_view name) {
  kernels::random_fill({tensor, kernels::Distribution::uniform, bound, seed, stream_of(name)});
}

}  // namespace earmark::nn
