#include "kernels/residual.h"

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = std::int64_t{1} << 16U;

template <class T>
void forward_as(const ResidualReluForward& r) {
  const T* a = r.a.data<T>();
  const T* b = r.b.data<T>();
  T* out = r.out.mutable_data<T>();
  parallel_ranges(r.a.numel(), kGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const T sum = a[i] + b[i];
      out[i] = sum < 0 ? T{0} : sum;  // NaN passes
    }
  });
}

template <class T>
void backward_as(const ResidualReluBackward& r) {
  const T* out = r.out.data<T>();
  const T* dout = r.dout.data<T>();
  T* dsum = r.dsum.mutable_data<T>();
  parallel_ranges(r.out.numel(), kGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      dsum[i] = out[i] <= 0 ? T{0} : dout[i];
    }
  });
}

}  // namespace

void residual_relu_forward(const ResidualReluForward& r) {
  dispatch_float(r.a.dtype(), [&]<class T>() { forward_as<T>(r); });
}

void residual_relu_backward(const ResidualReluBackward& r) {
  dispatch_float(r.out.dtype(), [&]<class T>() { backward_as<T>(r); });
}

}  // namespace earmark::kernels::cpu
