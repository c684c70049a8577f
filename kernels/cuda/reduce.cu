// Sums of columns in two launches: blocks add rows in double, 16 bytes of a row a thread where columns allow it, each
// into its own row of partials; then a warp adds up every column of those. Both orders are fixed by the shapes, so the
// bits are the same every time; no atomics.
// Floor: one pass over x at 3.35 TB/s (H100). Double additions stay below it: one per 4 bytes is 0.8 of 34 TFLOP/s. 85
// % of it is to be expected where x is some hundred megabytes; below ten the two launches are all of the time.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/dispatch_type.h"
#include "kernels/reduce.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBytes = 128;  // of a row that a block takes: a warp reads several rows' whole lines
constexpr std::int64_t kMostParts = 512;  // blocks over the rows
template <int N>
constexpr int kUnroll = N == 1 ? 4 : 2;  // loads in flight per thread

/// partials (parts, columns) = sums of x (rows, columns) over the rows of each part; columns are taken in groups of N.
/// Block (i, j) adds part i of the `width` groups from j * width on; thread t group t % width of every kThreads /
/// width-th row.
template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    sum_rows_kernel(const T* x, std::int64_t rows, std::int64_t columns, int width, double* partials) {
  __shared__ double sums[N][kThreads];
  const int lines = kThreads / width;
  const int line = static_cast<int>(threadIdx.x) / width;
  const std::int64_t groups = columns / N;
  const std::int64_t group = static_cast<std::int64_t>(blockIdx.y) * width + threadIdx.x % width;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * lines;
  double total[kUnroll<N>][N] = {};
  if (group < groups) {
    for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * lines + line; row < rows;
         row += kUnroll<N> * step) {
      Vector<T, N> values[kUnroll<N>] = {};
#pragma unroll
      for (int u = 0; u < kUnroll<N>; ++u) {
        if (row + u * step < rows) {
          values[u] = load_vector<N>(x, (row + u * step) * groups + group);
        }
      }
#pragma unroll
      for (int i = 0; i < kUnroll<N> * N; ++i) {
        total[i / N][i % N] += static_cast<double>(values[i / N][i % N]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) {
    double sum = 0;
#pragma unroll
    for (int u = 0; u < kUnroll<N>; ++u) {
      sum += total[u][k];
    }
    sums[k][threadIdx.x] = sum;
  }
  __syncthreads();
  for (int half = lines / 2; half > 0; half /= 2) {
    if (line < half) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[k][threadIdx.x] += sums[k][threadIdx.x + half * width];
      }
    }
    __syncthreads();
  }
  if (line == 0 && group < groups) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      partials[blockIdx.x * columns + group * N + k] = sums[k][threadIdx.x];
    }
  }
}

/// out (columns) = factor * the sum of partials (parts, columns) over parts: a warp for each column.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_parts_kernel(const double* partials, std::int64_t parts, std::int64_t columns, double factor, T* out) {
  constexpr int kWarps = kThreads / 32;
  const int lane = threadIdx.x % 32;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  double total = 0;
  if (column < columns) {
    for (std::int64_t part = lane; part < parts; part += 32) {
      total += partials[part * columns + column];
    }
  }
  total = warp_sum(total);
  if (lane == 0 && column < columns) {
    out[column] = static_cast<T>(total * factor);
  }
}

/// The smallest power of two that is `most` or holds all `groups`.
int width_for(std::int64_t groups, std::int64_t most) {
  int width = 1;
  while (width < most && width < groups) {
    width *= 2;
  }
  return width;
}

template <int N, class T>
void sum_in_groups(const Tensor& x, double factor, const Tensor& out) {
  const std::int64_t columns = out.numel();
  const std::int64_t rows = x.numel() / columns;
  constexpr std::int64_t kMostWidth = kMostBytes / static_cast<std::int64_t>(N * sizeof(float));
  const int width = width_for(columns / N, kMostWidth);
  const std::int64_t rows_at_once = std::int64_t{kUnroll<N>} * kThreads / width;
  const std::int64_t parts = std::clamp<std::int64_t>((rows + rows_at_once - 1) / rows_at_once, 1, kMostParts);
  const std::int64_t strips = (columns / N + width - 1) / width;
  check(strips <= 65535, "sum: at most ", 65535 * N * kMostWidth, " columns, got ", columns);
  const Tensor partials({parts, columns}, DType::f64, x.device());
  launch(sum_rows_kernel<N, T>,
         {.grid = dim3(static_cast<unsigned>(parts), static_cast<unsigned>(strips)), .block = dim3(kThreads)},
         x.data<T>(), rows, columns, width, partials.mutable_data<double>());
  launch(sum_parts_kernel<T>, blocks((columns + kThreads / 32 - 1) / (kThreads / 32), kThreads),
         partials.data<double>(), parts, columns, factor, out.mutable_data<T>());
}

template <class T>
void sum_as(const Tensor& x, double factor, const Tensor& out) {
  constexpr int kWide = kVector<T>;
  if (out.numel() == 0) {
    return;
  }
  if (x.numel() > 0 && out.numel() % kWide == 0 && is_aligned<kWide>(x.data<T>())) {
    sum_in_groups<kWide, T>(x, factor, out);
  } else {
    sum_in_groups<1, T>(x, factor, out);
  }
}

/// out (count) = factor * x (columns), again and again, N elements at a time; N divides columns, or columns is 1. The
/// last count % N elements of a single column are left to as many threads.
template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    repeat_kernel(const T* x, std::int64_t columns, T factor, T* out, std::int64_t count) {
  for (std::int64_t g = thread_index(); g < count / N; g += thread_count()) {
    const T* from = columns == 1 ? x : x + g * N % columns;
    Vector<T, N> values;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      values[k] = factor * from[columns == 1 ? 0 : k];
    }
    store_vector<N>(out, g, values);
  }
  const std::int64_t i = count / N * N + thread_index();
  if (i < count) {
    out[i] = factor * x[columns == 1 ? 0 : i % columns];
  }
}

}  // namespace

void sum(const Tensor& x, double factor, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { sum_as<T>(x, factor, out); });
}

void repeat(const Tensor& x, double factor, const Tensor& out) {
  if (x.numel() == 0) {
    return;
  }
  dispatch_float(x.dtype(), [&]<class T>() {
    constexpr int kWide = kVector<T>;
    const auto repeat_as = [&]<int N>() {
      launch(repeat_kernel<N, T>, over((out.numel() + N - 1) / N, kThreads), x.data<T>(), x.numel(),
             static_cast<T>(factor), out.mutable_data<T>(), out.numel());
    };
    if ((x.numel() == 1 || x.numel() % kWide == 0) && is_aligned<kWide>(out.data<T>())) {
      repeat_as.template operator()<kWide>();
    } else {
      repeat_as.template operator()<1>();
    }
  });
}

}  // namespace earmark::kernels::cuda
