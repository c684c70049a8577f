// A warp for each row: its lanes stride over the columns, 16 bytes each where rows are aligned, once for the sum (in
// double) and once more, from the cache, for the result. Floor on an H100 at 3.35 TB/s: 8 bytes per float forward, 12
// backward; one double multiply-add per float stays below it, and 85 % of it is to be expected for a database.
// Training's (512, 128) is over before a launch is.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/cuda/vector.cuh"
#include "kernels/dispatch_type.h"
#include "kernels/normalize.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kResident = 4;  // blocks of a multiprocessor: fewer threads would not keep memory busy

template <int N, class T>
__global__ void __launch_bounds__(kThreads, kResident)
    l2_normalize_kernel(const T* x, std::int64_t rows, std::int64_t columns, T epsilon, T* out, T* norms) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t groups = columns / N;
  for (std::int64_t row = thread_index() / 32; row < rows; row += thread_count() / 32) {
    const T* from = x + row * columns;
    double square = 0;
    for (std::int64_t g = lane; g < groups; g += 32) {
      const Vector<T, N> values = load_vector<N>(from, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const auto v = static_cast<double>(values[k]);
        square += v * v;
      }
    }
    const T length = static_cast<T>(sqrt(warp_sum(square)));
    const T norm = length < epsilon ? epsilon : length;  // NaN comes through
    for (std::int64_t g = lane; g < groups; g += 32) {
      Vector<T, N> values = load_vector<N>(from, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        values[k] /= norm;
      }
      store_vector<N>(out + row * columns, g, values);
    }
    if (lane == 0) {
      norms[row] = norm;
    }
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads, kResident)
    l2_normalize_backward_kernel(const T* out, const T* norms, const T* dout, std::int64_t rows, std::int64_t columns,
                                 T epsilon, T* dx) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t groups = columns / N;
  for (std::int64_t row = thread_index() / 32; row < rows; row += thread_count() / 32) {
    const T* own_out = out + row * columns;
    const T* own_dout = dout + row * columns;
    double along = 0;
    for (std::int64_t g = lane; g < groups; g += 32) {
      const Vector<T, N> a = load_vector<N>(own_out, g);
      const Vector<T, N> b = load_vector<N>(own_dout, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        along += static_cast<double>(a[k]) * static_cast<double>(b[k]);
      }
    }
    along = warp_sum(along);
    const T norm = norms[row];
    const T radial = norm <= epsilon ? T{0} : static_cast<T>(along);
    for (std::int64_t g = lane; g < groups; g += 32) {
      const Vector<T, N> a = load_vector<N>(own_out, g);
      Vector<T, N> b = load_vector<N>(own_dout, g);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        b[k] = (b[k] - a[k] * radial) / norm;
      }
      store_vector<N>(dx + row * columns, g, b);
    }
  }
}

/// Calls f.operator()<N, T>() with how many elements of these tensors' rows are moved at once.
template <class F>
void with_width(const Tensor& a, const Tensor& b, const Tensor& c, F&& f) {
  dispatch_float(a.dtype(), [&]<class T>() {
    constexpr int kWide = kVector<T>;
    const auto is_wide = [](const Tensor& t) { return is_aligned<kWide>(t.data<T>()); };
    if (a.dim(1) % kWide == 0 && is_wide(a) && is_wide(b) && is_wide(c)) {
      f.template operator()<kWide, T>();
    } else {
      f.template operator()<1, T>();
    }
  });
}

}  // namespace

void l2_normalize(const L2Normalize& a) {
  with_width(a.x, a.out, a.out, [&]<int N, class T>() {
    launch(l2_normalize_kernel<N, T>, over(32 * a.x.dim(0), kThreads), a.x.data<T>(), a.x.dim(0), a.x.dim(1),
           static_cast<T>(a.epsilon), a.out.mutable_data<T>(), a.norm.mutable_data<T>());
  });
}

void l2_normalize_backward(const L2NormalizeBackward& a) {
  with_width(a.out, a.dout, a.dx, [&]<int N, class T>() {
    launch(l2_normalize_backward_kernel<N, T>, over(32 * a.out.dim(0), kThreads), a.out.data<T>(), a.norm.data<T>(),
           a.dout.data<T>(), a.out.dim(0), a.out.dim(1), static_cast<T>(a.epsilon), a.dx.mutable_data<T>());
  });
}

}  // namespace earmark::kernels::cuda
