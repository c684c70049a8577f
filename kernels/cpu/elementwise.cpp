#include "kernels/elementwise.h"

#include <cmath>

#include "kernels/cpu/in_float.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

// Elements per task: small enough to balance, large enough that handing out tasks costs nothing beside the work.
constexpr std::int64_t kElementGrain = std::int64_t{1} << 15U;

/// out[i] = f(x[i]); the loop vectorises because f is inlined.
template <class T, class F>
void map(const Tensor& x, const Tensor& out, F f) {
  const T* from = x.data<T>();
  T* to = out.mutable_data<T>();
  parallel_ranges(x.numel(), kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      to[i] = f(from[i]);
    }
  });
}

/// out[i] = f(a[i], b[i]).
template <class T, class F>
void map2(const Tensor& a, const Tensor& b, const Tensor& out, F f) {
  const T* left = a.data<T>();
  const T* right = b.data<T>();
  T* to = out.mutable_data<T>();
  parallel_ranges(a.numel(), kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      to[i] = f(left[i], right[i]);
    }
  });
}

template <class From, class To>
void cast_as(const Tensor& x, const Tensor& out) {
  const From* from = x.data<From>();
  To* to = out.mutable_data<To>();
  parallel_ranges(x.numel(), kElementGrain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      to[i] = convert<To>(from[i]);
    }
  });
}

template <class From>
void cast_from(const Tensor& x, const Tensor& out) {
  if (out.dtype() == DType::bf16) {
    return cast_as<From, BFloat16>(x, out);
  }
  dispatch_float(out.dtype(), [&]<class To>() { cast_as<From, To>(x, out); });
}

}  // namespace

void add(const Tensor& a, const Tensor& b, const Tensor& out) {
  if (a.dtype() == DType::bf16) {
    Tensor left = a;
    Tensor right = b;
    Tensor to = out;
    return in_float({&left, &right}, {&to}, [&] { cpu::add(left, right, to); });
  }
  dispatch_float(a.dtype(), [&]<class T>() { map2<T>(a, b, out, [](T x, T y) { return x + y; }); });
}

void sub(const Tensor& a, const Tensor& b, const Tensor& out) {
  dispatch_float(a.dtype(), [&]<class T>() { map2<T>(a, b, out, [](T x, T y) { return x - y; }); });
}

void mul(const Tensor& a, const Tensor& b, const Tensor& out) {
  dispatch_float(a.dtype(), [&]<class T>() { map2<T>(a, b, out, [](T x, T y) { return x * y; }); });
}

void scale(const Tensor& x, double factor, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { map<T>(x, out, [f = static_cast<T>(factor)](T v) { return f * v; }); });
}

// The comparisons of relu and its derivative are written so that NaN takes the branch that keeps it.
void relu(const Tensor& x, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { map<T>(x, out, [](T v) { return v < 0 ? T{0} : v; }); });
}

void relu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx) {
  dispatch_float(out.dtype(), [&]<class T>() { map2<T>(out, dout, dx, [](T y, T g) { return y <= 0 ? T{0} : g; }); });
}

void elu(const Tensor& x, const Tensor& out) {
  dispatch_float(x.dtype(), [&]<class T>() { map<T>(x, out, [](T v) { return v > 0 ? v : exp_minus_1(v); }); });
}

void elu_backward(const Tensor& out, const Tensor& dout, const Tensor& dx) {
  dispatch_float(out.dtype(),
                 [&]<class T>() { map2<T>(out, dout, dx, [](T y, T g) { return y > 0 ? g : g * (y + 1); }); });
}

void cast(const Tensor& x, const Tensor& out) {
  if (x.dtype() == DType::bf16) {
    return cast_from<BFloat16>(x, out);
  }
  dispatch_float(x.dtype(), [&]<class T>() { cast_from<T>(x, out); });
}

}  // namespace earmark::kernels::cpu
