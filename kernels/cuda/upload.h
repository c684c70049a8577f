// Small tables of the host's on their way to a GPU: only queued, so nobody waits; the driver copies pageable memory
// away at once, and the caller may drop it.
#pragma once

#include <span>
#include <type_traits>

#include "kernels/cuda/graph.h"
#include "kernels/cuda/memory.h"
#include "kernels/tensor.h"

namespace earmark::kernels::cuda {

/// The bytes of `values` on `device`, whose GPU is the current one. Throws Error while a graph is recorded.
template <class T>
Tensor upload(std::span<const T> values, Device device) {
  static_assert(std::is_trivially_copyable_v<T>);
  refuse_while_recording("a table of the host's");  // each launch would read where it lay
  const Tensor out({static_cast<std::int64_t>(values.size_bytes())}, DType::u8, device);
  copy_async(out.raw(), values.data(), values.size_bytes());
  return out;
}

/// What upload() made, as a kernel reads it.
template <class T>
const T* uploaded(const Tensor& bytes) {
  return reinterpret_cast<const T*>(bytes.raw());
}

}  // namespace earmark::kernels::cuda
