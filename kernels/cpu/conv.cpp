#include "kernels/conv.h"

#include "kernels/cpu/conv_direct.h"
#include "kernels/dispatch.h"

namespace earmark::kernels::cpu {
namespace {

template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

template <class T>
void forward_as(const ConvForward& a) {
  const ConvExtents e(a.x.shape(), a.weight.shape(), a.options);
  const Walk<T> walk{a.x.data<T>(), e.f * e.t * e.in,        a.out.mutable_data<T>(), e.out_f * e.out_t * e.out,
                     e.n,           data_or_null<T>(a.bias), data_or_null<T>(a.add),  a.relu};
  run_walk(walk, forward_pixels(e), pack_forward<T>(a.weight));
}

template <class T>
void backward_as(const ConvBackward& a) {
  const ConvExtents e(a.x.shape(), a.weight.shape(), a.options);
  if (a.dx) {
    const Walk<T> walk{a.dout.data<T>(),
                       e.out_f * e.out_t * e.out,
                       a.dx.mutable_data<T>(),
                       e.f * e.t * e.in,
                       e.n,
                       nullptr,
                       nullptr,
                       false};
    run_walk(walk, backward_pixels(e), pack_backward<T>(a.weight));
  }
  if (a.dweight) {
    weight_gradient(e, a.x.data<T>(), a.dout.data<T>(), a.dweight.mutable_data<T>());
  }
  if (a.dbias) {
    bias_gradient(a.dout.data<T>(), e.n * e.out_f * e.out_t, e.out, a.dbias.mutable_data<T>());
  }
}

}  // namespace

void conv_forward(const ConvForward& a) {
  dispatch_float(a.x.dtype(), [&]<class T>() { forward_as<T>(a); });
}

void conv_backward(const ConvBackward& a) {
  dispatch_float(a.x.dtype(), [&]<class T>() { backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
