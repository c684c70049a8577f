// Stored fingerprints of any type, read as float. For the search kernels of this folder.
#pragma once

#include "kernels/cuda/types.h"
#include "kernels/inner_product.h"

namespace earmark::kernels::cuda {

/// Rows (n, d) of f32, f16 or i8 and what they are to be multiplied with.
template <class T>
struct DeviceRows {
  const T* rows;
  const float* scales;  // null: none
  bool one_scale;
  std::int64_t count;
  std::int64_t d;

  __device__ __forceinline__ float scale(std::int64_t row) const {
    return scales == nullptr ? 1 : scales[one_scale ? 0 : row];
  }
};

/// Calls f(DeviceRows<T>) for the type that rows are stored in; they are on the GPU.
template <class F>
void with_device_rows(const StoredRows& stored, F&& f) {
  const auto call = [&]<class T>() {
    const bool scaled = stored.rows.dtype() == DType::i8;
    f(DeviceRows<DeviceType<T>>{device_data<T>(stored.rows), scaled ? stored.scales.data<float>() : nullptr,
                                scaled && stored.scales.numel() == 1, stored.rows.dim(0), stored.rows.dim(1)});
  };
  switch (stored.rows.dtype()) {
    case DType::f16:
      return call.template operator()<Float16>();
    case DType::i8:
      return call.template operator()<std::int8_t>();
    default:
      return call.template operator()<float>();
  }
}

/// This lane's part of <query, row>: the sum over the warp's lanes is the product.
template <class T>
__device__ __forceinline__ float partial_product(const float* query, const DeviceRows<T>& stored, std::int64_t row) {
  const T* from = stored.rows + row * stored.d;
  float sum = 0;
  for (std::int64_t j = threadIdx.x % 32; j < stored.d; j += 32) {
    sum += query[j] * convert_on_device<float>(from[j]);
  }
  return sum;
}

}  // namespace earmark::kernels::cuda
