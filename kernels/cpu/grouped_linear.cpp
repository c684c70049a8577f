#include "kernels/grouped_linear.h"

#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kGroups = 4;  // groups per task

template <class F>
void for_each_group(std::int64_t groups, F f) {
  parallel_ranges(groups, kGroups, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = begin; g < end; ++g) {
      f(g);
    }
  });
}

/// out (n, outputs) of one group: the product, then bias and activation while the rows are in the cache.
template <class T>
void forward_group(const GroupedLinear& a, std::int64_t g) {
  const GroupedExtents e(a);
  const T* x = a.x.data<T>() + g * e.inputs;
  const T* w = a.w.data<T>() + g * e.outputs * e.inputs;
  const T* b = a.b.data<T>() + g * e.outputs;
  T* out = a.out.mutable_data<T>() + g * e.outputs;
  const std::int64_t x_stride = e.groups * e.inputs;
  const std::int64_t out_stride = e.groups * e.outputs;
  if (e.outputs > 1) {
    multiply<T>({x, x_stride, 1}, {w, 1, e.inputs}, out, out_stride, e.n, e.outputs, e.inputs);
  }
  for (std::int64_t n = 0; n < e.n; ++n) {
    T* row = out + n * out_stride;
    if (e.outputs == 1) {
      row[0] = dot(w, x + n * x_stride, e.inputs);
    }
    for (std::int64_t o = 0; o < e.outputs; ++o) {
      const T sum = row[o] + b[o];
      row[o] = a.activation == Activation::none || sum > 0 ? sum : exp_minus_1(sum);
    }
  }
}

/// The gradient before the activation, dz (n, outputs), and its column sums, db.
template <class T>
void activation_backward(const GroupedLinearBackward& a, std::int64_t g, T* dz) {
  const GroupedExtents e(a.forward);
  const T* out = a.forward.out.data<T>() + g * e.outputs;
  const T* dout = a.dout.data<T>() + g * e.outputs;
  T* db = a.db.mutable_data<T>() + g * e.outputs;
  const bool elu = a.forward.activation == Activation::elu;
  std::fill_n(db, e.outputs, T{0});
  for (std::int64_t n = 0; n < e.n; ++n) {
    const T* y = out + n * e.groups * e.outputs;
    const T* dy = dout + n * e.groups * e.outputs;
    for (std::int64_t o = 0; o < e.outputs; ++o) {
      const T value = elu && !(y[o] > 0) ? dy[o] * (y[o] + 1) : dy[o];
      dz[n * e.outputs + o] = value;
      db[o] += value;
    }
  }
}

/// With one output the products are rank one: no matrix kernel pays.
template <class T>
void backward_single(const GroupedLinearBackward& a, std::int64_t g, const T* dz) {
  const GroupedExtents e(a.forward);
  const T* w = a.forward.w.data<T>() + g * e.inputs;
  T* dw = a.dw.mutable_data<T>() + g * e.inputs;
  std::fill_n(dw, e.inputs, T{0});
  for (std::int64_t n = 0; n < e.n; ++n) {
    const std::int64_t row = (n * e.groups + g) * e.inputs;
    add_scaled(dz[n], a.forward.x.data<T>() + row, dw, e.inputs);
    if (a.dx) {
      T* dx = a.dx.mutable_data<T>() + row;
      for (std::int64_t i = 0; i < e.inputs; ++i) {
        dx[i] = dz[n] * w[i];
      }
    }
  }
}

template <class T>
void backward_group(const GroupedLinearBackward& a, std::int64_t g) {
  const GroupedExtents e(a.forward);
  thread_local std::vector<T> dz;
  dz.resize(static_cast<std::size_t>(e.n * e.outputs));
  activation_backward(a, g, dz.data());
  if (e.outputs == 1) {
    return backward_single(a, g, dz.data());
  }
  const T* x = a.forward.x.data<T>() + g * e.inputs;
  const T* w = a.forward.w.data<T>() + g * e.outputs * e.inputs;
  T* dw = a.dw.mutable_data<T>() + g * e.outputs * e.inputs;
  const std::int64_t x_stride = e.groups * e.inputs;
  multiply<T>({dz.data(), 1, e.outputs}, {x, x_stride, 1}, dw, e.inputs, e.outputs, e.inputs, e.n);
  if (a.dx) {
    multiply<T>({dz.data(), e.outputs, 1}, {w, e.inputs, 1}, a.dx.mutable_data<T>() + g * e.inputs, x_stride, e.n,
                e.inputs, e.outputs);
  }
}

}  // namespace

void grouped_linear(const GroupedLinear& a) {
  dispatch_float(a.x.dtype(),
                 [&]<class T>() { for_each_group(a.x.dim(1), [&](std::int64_t g) { forward_group<T>(a, g); }); });
}

void grouped_linear_backward(const GroupedLinearBackward& a) {
  dispatch_float(a.dout.dtype(), [&]<class T>() {
    for_each_group(a.forward.x.dim(1), [&](std::int64_t g) { backward_group<T>(a, g); });
  });
}

}  // namespace earmark::kernels::cpu
