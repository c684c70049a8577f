#include "kernels/reduce.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kReduceBlock = std::int64_t{1} << 15U;  // elements per task
constexpr std::int64_t kMostTasks = 64;                        // bounds the memory of the partials
constexpr std::int64_t kAccumulators = 64;  // accumulators that stay in registers and first-level cache

/// total[c] = sum of x[r * columns + c] over `rows` rows, in double.
template <class T>
void column_sums(const T* x, std::int64_t rows, std::int64_t columns, double* total) {
  for (std::int64_t first = 0; first < columns; first += kAccumulators) {
    const std::int64_t width = std::min(kAccumulators, columns - first);
    double part[kAccumulators] = {};
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* row = x + r * columns + first;
      for (std::int64_t c = 0; c < width; ++c) {
        part[c] += static_cast<double>(row[c]);
      }
    }
    std::copy_n(part, width, total + first);
  }
}

/// A long run of numbers as rows of kAccumulators, so that the additions vectorise; the rest is added at the end.
template <class T>
double sum_all(const T* x, std::int64_t count) {
  double lanes[kAccumulators];
  const std::int64_t rows = count / kAccumulators;
  column_sums(x, rows, kAccumulators, lanes);
  double total = 0;
  for (const double lane : lanes) {
    total += lane;
  }
  for (std::int64_t i = rows * kAccumulators; i < count; ++i) {
    total += static_cast<double>(x[i]);
  }
  return total;
}

template <class T>
void sum_as(const Tensor& x, double factor, const Tensor& out) {
  const std::int64_t columns = out.numel();
  if (columns == 0) {
    return;
  }
  const std::int64_t rows = x.numel() / columns;
  const std::int64_t grain =
      std::max((rows + kMostTasks - 1) / kMostTasks, std::max<std::int64_t>(1, kReduceBlock / columns));
  const std::int64_t tasks = (rows + grain - 1) / grain;
  std::vector<double> partials(static_cast<std::size_t>(tasks * columns));
  const T* from = x.data<T>();
  parallel_ranges(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    double* total = partials.data() + begin / grain * columns;
    if (columns == 1) {
      *total = sum_all(from + begin, end - begin);
    } else {
      column_sums(from + begin * columns, end - begin, columns, total);
    }
  });
  for (std::int64_t task = 1; task < tasks; ++task) {
    for (std::int64_t c = 0; c < columns; ++c) {
      partials[static_cast<std::size_t>(c)] += partials[static_cast<std::size_t>(task * columns + c)];
    }
  }
  T* to = out.mutable_data<T>();
  for (std::int64_t c = 0; c < columns; ++c) {
    to[c] = tasks == 0 ? T{0} : static_cast<T>(partials[static_cast<std::size_t>(c)] * factor);
  }
}

template <class T>
void repeat_as(const Tensor& x, double factor, const Tensor& out) {
  const std::int64_t columns = x.numel();
  if (columns == 0) {
    return;
  }
  const T* from = x.data<T>();
  T* to = out.mutable_data<T>();
  const auto f = static_cast<T>(factor);
  if (columns == 1) {
    return parallel_ranges(out.numel(), kReduceBlock,
                           [=](std::int64_t begin, std::int64_t end) { std::fill(to + begin, to + end, f * *from); });
  }
  const std::int64_t grain = std::max<std::int64_t>(1, kReduceBlock / columns);
  parallel_ranges(out.numel() / columns, grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      std::transform(from, from + columns, to + r * columns, [f](T v) { return f * v; });
    }
  });
}

}  // namespace

void sum(const Tensor& x, double factor, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { sum_as<T>(x, factor, out); });
}

void repeat(const Tensor& x, double factor, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { repeat_as<T>(x, factor, out); });
}

}  // namespace earmark::kernels::cpu
