#include "kernels/rank_sums.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <vector>

#include "kernels/dispatch_type.h"
#include "kernels/error.h"

namespace earmark {

namespace {

constexpr std::size_t kAddedAtOnce = 512;  // numbers

/// out = the sum or the mean of `parts` in their order, in double.
template <class T>
void combine_in_order(std::span<const T* const> parts, Combine how, std::span<T> out) {
  const double divisor = how == Combine::mean ? static_cast<double>(parts.size()) : 1;
  double sums[kAddedAtOnce];
  for (std::size_t begin = 0; begin < out.size(); begin += kAddedAtOnce) {
    const std::size_t n = std::min(kAddedAtOnce, out.size() - begin);
    std::fill_n(sums, n, 0);
    for (const T* part : parts) {
      for (std::size_t i = 0; i < n; ++i) {
        sums[i] += static_cast<double>(part[begin + i]);
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      out[begin + i] = static_cast<T>(sums[i] / divisor);
    }
  }
}

/// out = the sum of `parts` in pairs, rounded each time.
template <class T>
void combine_in_pairs(std::span<const T* const> parts, std::span<T> out) {
  std::vector<T> sums(parts.size() * kAddedAtOnce);
  const auto of = [&](std::size_t part) { return sums.data() + part * kAddedAtOnce; };
  for (std::size_t begin = 0; begin < out.size(); begin += kAddedAtOnce) {
    const std::size_t n = std::min(kAddedAtOnce, out.size() - begin);
    for (std::size_t part = 0; part < parts.size(); ++part) {
      std::copy_n(parts[part] + begin, n, of(part));
    }
    for (std::size_t step = 1; step < parts.size(); step *= 2) {
      for (std::size_t part = 0; part < parts.size(); part += 2 * step) {
        std::transform(of(part), of(part) + n, of(part + step), of(part), std::plus<T>());
      }
    }
    std::copy_n(of(0), n, out.data() + begin);
  }
}

}  // namespace

void combine_ranks(DType dtype, std::span<const std::byte* const> parts, Combine how, std::span<std::byte> out) {
  dispatch_float(dtype, [&]<class T>() {
    std::vector<const T*> values;
    std::ranges::transform(parts, std::back_inserter(values),
                           [](const std::byte* part) { return reinterpret_cast<const T*>(part); });
    const std::span<T> sums(reinterpret_cast<T*>(out.data()), out.size() / sizeof(T));
    how == Combine::in_pairs ? combine_in_pairs<T>(values, sums) : combine_in_order<T>(values, how, sums);
  });
}

std::span<std::byte> host_bytes(const Tensor& t) {
  check(t.device().backend == Backend::cpu, "ranks exchange tensors in the host's memory, got one on ", t.device());
  return {t.raw(), t.bytes()};
}

void check_summable(const Tensor& t, DType dtype) {
  check((dtype == DType::f32 || dtype == DType::f64) && t.dtype() == dtype,
        "ranks add up tensors of f32 or of f64, got ", name_of(t.dtype()));
}

void check_combine(Combine how, int size) {
  check(how != Combine::in_pairs || std::has_single_bit(static_cast<unsigned>(size)),
        "sums in pairs are those of a power of two of ranks, there are ", size);
}

void check_part(const Tensor& part, const Tensor& whole, int size) {
  check(part.shape().rank() >= 1 && whole.shape() == part.shape().with_leading(size * part.dim(0)) &&
            part.dtype() == whole.dtype(),
        "of ", size, " ranks with ", name_of(part.dtype()), part.shape(), " each, the whole is not ",
        name_of(whole.dtype()), whole.shape());
}

}  // namespace earmark
