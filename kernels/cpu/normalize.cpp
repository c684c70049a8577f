#include "kernels/normalize.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/vector_math.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kNormalizeBlock = std::int64_t{1} << 14U;  // elements per task

template <class F>
void for_each_row(std::int64_t rows, std::int64_t columns, F f) {
  parallel_ranges(rows, std::max<std::int64_t>(1, kNormalizeBlock / std::max<std::int64_t>(1, columns)),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      f(r);
                    }
                  });
}

template <class T>
void l2_normalize_as(const L2Normalize& a) {
  const std::int64_t d = a.x.dim(1);
  for_each_row(a.x.dim(0), d, [&](std::int64_t r) {
    const T* x = a.x.data<T>() + r * d;
    T* out = a.out.mutable_data<T>() + r * d;
    const T length = std::sqrt(dot(x, x, d));
    const T norm = length < static_cast<T>(a.epsilon) ? static_cast<T>(a.epsilon) : length;  // NaN comes through
    a.norm.mutable_data<T>()[r] = norm;
    for (std::int64_t i = 0; i < d; ++i) {
      out[i] = x[i] / norm;
    }
  });
}

template <class T>
void l2_normalize_backward_as(const L2NormalizeBackward& a) {
  const std::int64_t d = a.out.dim(1);
  for_each_row(a.out.dim(0), d, [&](std::int64_t r) {
    const T* out = a.out.data<T>() + r * d;
    const T* dout = a.dout.data<T>() + r * d;
    T* dx = a.dx.mutable_data<T>() + r * d;
    const T norm = a.norm.data<T>()[r];
    const bool floored = norm <= static_cast<T>(a.epsilon);
    const T along = floored ? T{0} : dot(out, dout, d);
    for (std::int64_t i = 0; i < d; ++i) {
      dx[i] = (dout[i] - out[i] * along) / norm;
    }
  });
}

}  // namespace

void l2_normalize(const L2Normalize& a) {
  dispatch_float(a.x.dtype(), [&]<class T>() { l2_normalize_as<T>(a); });
}

void l2_normalize_backward(const L2NormalizeBackward& a) {
  dispatch_float(a.out.dtype(), [&]<class T>() { l2_normalize_backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
