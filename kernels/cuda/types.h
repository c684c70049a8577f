// Element types as CUDA knows them. bf16 and f16 are storage types: kernels widen them, compute in float, round back.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>

#include <type_traits>

#include "kernels/dispatch_type.h"
#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

namespace detail {
template <class T>
struct OnDevice {
  using type = T;
};
template <>
struct OnDevice<BFloat16> {
  using type = __nv_bfloat16;
};
template <>
struct OnDevice<Float16> {
  using type = __half;
};
}  // namespace detail

/// What a tensor's element type is called in kernels: BFloat16 is __nv_bfloat16, Float16 __half, all others themselves.
template <class T>
using DeviceType = typename detail::OnDevice<T>::type;

/// A tensor's elements for a kernel. Throws Error when T is not the element type.
template <class T>
const DeviceType<T>* device_data(const Tensor& t) {
  return reinterpret_cast<const DeviceType<T>*>(t.data<T>());
}
template <class T>
DeviceType<T>* mutable_device_data(const Tensor& t) {
  return reinterpret_cast<DeviceType<T>*>(t.mutable_data<T>());
}

/// Calls f.operator()<T>() with the type that holds `dtype` in kernels, for the four floating-point types.
template <class F>
void dispatch_floating(DType dtype, F&& f) {
  dispatch_real(dtype, [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      fail("expected f32, f64, bf16 or f16, got ", name_of(dtype));
    } else {
      f.template operator()<DeviceType<T>>();
    }
  });
}

/// The type as cuBLAS and cuDNN's relatives name it.
inline cudaDataType_t cuda_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::f64:
      return CUDA_R_64F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    case DType::i8:
      return CUDA_R_8I;
    case DType::u8:
      return CUDA_R_8U;
    case DType::i16:
      return CUDA_R_16I;
    case DType::i32:
      return CUDA_R_32I;
    case DType::i64:
      return CUDA_R_64I;
  }
  fail("unknown element type");
}

/// Numeric conversion in kernels; the 16-bit types go through float and round to nearest even.
template <class To, class From>
__host__ __device__ __forceinline__ To convert_on_device(From value) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_same_v<From, __nv_bfloat16>) {
    return convert_on_device<To>(__bfloat162float(value));
  } else if constexpr (std::is_same_v<From, __half>) {
    return convert_on_device<To>(__half2float(value));
  } else if constexpr (std::is_same_v<To, __nv_bfloat16>) {
    return __float2bfloat16_rn(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, __half>) {
    return __float2half_rn(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace earmark::kernels::cuda
