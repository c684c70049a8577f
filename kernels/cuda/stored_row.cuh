// Stored fingerprints of any type, read as float: a row is read 16 bytes a lane at a time, by no more lanes than it has
// such groups, so that a warp takes one row of 128 floats, two in f16 and four in i8 at once: 512 bytes a request.
// Floor: the rows read, d * (4, 2 or 1) bytes each, over 3.35 TB/s (H100); what share of it is reached is the kernels'
// to say. For the search kernels of this folder.
#pragma once

#include <algorithm>
#include <bit>

#include "kernels/cuda/types.h"
#include "kernels/cuda/vector.cuh"
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
  int lanes;  // that share a row: a power of two, at most 32

  static constexpr int kGroup = kVector<T>;  // elements that a lane takes at a time

  __device__ __forceinline__ float scale(std::int64_t row) const {
    return scales == nullptr ? 1 : scales[one_scale ? 0 : row];
  }
};

/// Calls f(DeviceRows<T>) for the type that rows are stored in; they are on the GPU.
template <class F>
void with_device_rows(const StoredRows& stored, F&& f) {
  const auto call = [&]<class T>() {
    const bool scaled = stored.rows.dtype() == DType::i8;
    const std::int64_t d = stored.rows.dim(1);
    const std::int64_t groups = (d + kVector<DeviceType<T>> - 1) / kVector<DeviceType<T>>;
    const auto lanes = std::bit_ceil(static_cast<unsigned>(std::clamp<std::int64_t>(groups, 1, 32)));
    f(DeviceRows<DeviceType<T>>{device_data<T>(stored.rows), scaled ? stored.scales.data<float>() : nullptr,
                                scaled && stored.scales.numel() == 1, stored.rows.dim(0), d, static_cast<int>(lanes)});
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

/// A product that is wanted.
struct Pair {
  const float* query;
  std::int64_t row;
};

/// partial_products() where rows and queries can be read 16 bytes at a time.
template <int rows, class T>
__device__ __forceinline__ void wide_partial_products(const DeviceRows<T>& stored, const Pair (&pairs)[rows],
                                                      float (&sums)[rows]) {
  constexpr int N = DeviceRows<T>::kGroup;
#pragma unroll 1
  for (std::int64_t j = threadIdx.x % stored.lanes * N; j < stored.d; j += stored.lanes * N) {
    Vector<T, N> values[rows];
#pragma unroll
    for (int r = 0; r < rows; ++r) {
      values[r] = load_vector<N>(stored.rows + pairs[r].row * stored.d + j, 0);
    }
#pragma unroll
    for (int part = 0; part < N / 4; ++part) {
#pragma unroll
      for (int r = 0; r < rows; ++r) {
        const Vector<float, 4> q = load_vector<4>(pairs[r].query + j, part);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          sums[r] += q[k] * convert_on_device<float>(values[r][4 * part + k]);
        }
      }
    }
  }
}

/// partial_products() element by element: in a loop of its own and not unrolled, so that the other keeps its registers.
template <int rows, class T>
__device__ __forceinline__ void narrow_partial_products(const DeviceRows<T>& stored, const Pair (&pairs)[rows],
                                                        float (&sums)[rows]) {
  constexpr int N = DeviceRows<T>::kGroup;
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    const T* row = stored.rows + pairs[r].row * stored.d;
#pragma unroll 1
    for (std::int64_t j = threadIdx.x % stored.lanes * N; j < stored.d; j += stored.lanes * N) {
      const std::int64_t end = j + N < stored.d ? j + N : stored.d;
#pragma unroll 1
      for (std::int64_t i = j; i < end; ++i) {
        sums[r] += pairs[r].query[i] * convert_on_device<float>(row[i]);
      }
    }
  }
}

/// sums[r] = this lane's part of pair r's product: the sum over the lanes that share a row is the product. Reads of all
/// rows are under way together. Elements are added in one order whether or not they can be read 16 bytes at a time. The
/// queries of all pairs are rows of one tensor.
template <int rows, class T>
__device__ __forceinline__ void partial_products(const DeviceRows<T>& stored, const Pair (&pairs)[rows],
                                                 float (&sums)[rows]) {
  constexpr int N = DeviceRows<T>::kGroup;
#pragma unroll
  for (int r = 0; r < rows; ++r) {
    sums[r] = 0;
  }
  if (stored.d % N == 0 && is_aligned<N>(stored.rows) && is_aligned<4>(pairs[0].query)) {
    wide_partial_products(stored, pairs, sums);
  } else {
    narrow_partial_products(stored, pairs, sums);
  }
}

/// The sum over the lanes that share a row; all of them get it. All lanes of the warp must call it.
template <class T>
__device__ __forceinline__ T sum_of_row(T value, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffU, value, distance);
  }
  return value;
}

}  // namespace earmark::kernels::cuda
