// Through map.cuh, 16 bytes a thread. Floor on an H100 at 3.35 TB/s, forward and backward: two floats read and one
// written, 0.36 ms for the 100 million of (512, 64, 96, 32); 90 % of that is to be expected.
#include "kernels/cuda/map.cuh"
#include "kernels/dispatch.h"
#include "kernels/residual.h"

namespace earmark::kernels::cuda {
namespace {

// Written so that NaN takes the branch that keeps it.
struct AddRelu {
  template <class T>
  __device__ T operator()(T a, T b) const {
    const T sum = a + b;
    return sum < 0 ? T{0} : sum;
  }
};
struct AddReluGradient {
  template <class T>
  __device__ T operator()(T out, T dout) const {
    return out <= 0 ? T{0} : dout;
  }
};

}  // namespace

void residual_relu_forward(const ResidualReluForward& r) {
  dispatch_float(r.a.dtype(), [&]<class T>() {
    map2(r.a.numel(), AddRelu{}, r.a.data<T>(), r.b.data<T>(), r.out.mutable_data<T>());
  });
}

void residual_relu_backward(const ResidualReluBackward& r) {
  dispatch_float(r.out.dtype(), [&]<class T>() {
    map2(r.out.numel(), AddReluGradient{}, r.out.data<T>(), r.dout.data<T>(), r.dsum.mutable_data<T>());
  });
}

}  // namespace earmark::kernels::cuda
