// Maps in kernels: stored as M, which is float, double or bf16, and computed with as Wide<M> (kernels/compute_type.h).
#pragma once

#include "kernels/compute_type.h"
#include "kernels/cuda/types.h"

namespace earmark::kernels::cuda {

/// What compute_type() is in kernels.
template <class M>
using Wide = std::conditional_t<std::is_same_v<M, __nv_bfloat16> || std::is_same_v<M, __half>, float, M>;

template <class M>
__device__ __forceinline__ Wide<M> widen(M value) {
  return convert_on_device<Wide<M>>(value);
}

/// Calls f.operator()<M>() for the type that a map is stored in: f32, f64 or bf16.
template <class F>
void dispatch_map(DType dtype, F&& f) {
  if (dtype == DType::bf16) {
    f.template operator()<__nv_bfloat16>();
  } else {
    dispatch_float(dtype, f);
  }
}

/// The elements of a map. Throws Error when M is not how they are stored.
template <class M>
const M* map_data(const Tensor& t) {
  if constexpr (std::is_same_v<M, __nv_bfloat16>) {
    return device_data<BFloat16>(t);
  } else {
    return t.data<M>();
  }
}
template <class M>
M* mutable_map_data(const Tensor& t) {
  return const_cast<M*>(map_data<M>(t));
}

}  // namespace earmark::kernels::cuda
