#include "kernels/residual.h"

#include "kernels/cpu/in_float.h"
#include "kernels/cpu/lanes.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kResidualGrain = std::int64_t{1} << 16U;

/// out[i] = f(a[i], b[i]) a vector at a time.
template <class T, class F>
void map_vectors(std::int64_t count, const T* a, const T* b, T* out, const F& f) {
  parallel_ranges(count, kResidualGrain, [=](std::int64_t begin, std::int64_t end) {
    std::int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) {
      store<T>(out + i, f(load(a + i), load(b + i)));
    }
    const auto rest = static_cast<int>(end - i);
    store_first<T>(out + i, f(load_first(a + i, rest), load_first(b + i, rest)), rest);
  });
}

template <class T>
void residual_relu_forward_as(const ResidualReluForward& r) {
  map_vectors(r.a.numel(), r.a.data<T>(), r.b.data<T>(), r.out.mutable_data<T>(),
              [](Vec<T> a, Vec<T> b) { return relu<T>(a + b); });
}

template <class T>
void residual_relu_backward_as(const ResidualReluBackward& r) {
  map_vectors(r.out.numel(), r.out.data<T>(), r.dout.data<T>(), r.dsum.mutable_data<T>(),
              [](Vec<T> out, Vec<T> dout) { return out <= 0 ? Vec<T>{} : dout; });
}

}  // namespace

void residual_relu_forward(const ResidualReluForward& r) {
  if (r.out.dtype() == DType::bf16) {
    ResidualReluForward wide = r;
    return in_float({&wide.a, &wide.b}, {&wide.out}, [&] { cpu::residual_relu_forward(wide); });
  }
  dispatch_float(r.a.dtype(), [&]<class T>() { residual_relu_forward_as<T>(r); });
}

void residual_relu_backward(const ResidualReluBackward& r) {
  if (r.out.dtype() == DType::bf16) {
    ResidualReluBackward wide = r;
    return in_float({&wide.out, &wide.dout}, {&wide.dsum}, [&] { cpu::residual_relu_backward(wide); });
  }
  dispatch_float(r.out.dtype(), [&]<class T>() { residual_relu_backward_as<T>(r); });
}

}  // namespace earmark::kernels::cpu
