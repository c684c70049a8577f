// A tensor: a cheap handle on contiguous, row-major memory. Copying the handle shares the memory.
// The only views are reshape and slices of the leading axis; every other layout is an explicit permute.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/device.h"
#include "kernels/dtype.h"
#include "kernels/error.h"
#include "kernels/shape.h"
#include "kernels/storage.h"

namespace earmark {

class Tensor {
 public:
  Tensor() = default;  ///< No tensor: converts to false.
  /// Fresh, uninitialised memory.
  explicit Tensor(const Shape& shape, DType dtype = DType::f32, Device device = {});
  /// Views memory owned by somebody else, which `owner` keeps alive.
  Tensor(const Shape& shape, DType dtype, void* data, std::shared_ptr<const void> owner);

  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = {});
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = {});
  /// Copies `values`, which are the host's. Throws Error when their count is not shape.numel().
  template <class T>
  static Tensor from(const Shape& shape, std::span<const T> values, Device device = {});

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t dim(int axis) const { return shape_[axis]; }
  std::int64_t numel() const { return shape_.numel(); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device{}; }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }

  /// Throws Error when T is not the element type.
  template <class T>
  const T* data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<const T*>(raw());
  }
  /// A handle is shallow: writing through a const Tensor is what destination passing means.
  template <class T>
  T* mutable_data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  /// The elements, to be read by the host. Throws Error when they are on another device.
  template <class T>
  std::span<const T> values() const {
    check(device().backend == Backend::cpu, "tensor ", shape_, " is on ", device(),
          ": copy it with to(Device{}) first");
    return {data<T>(), static_cast<std::size_t>(numel())};
  }
  std::byte* raw() const { return storage_->data() + offset_; }

  /// The same memory under another shape. Throws Error when counts differ.
  Tensor reshape(const Shape& shape) const;
  Tensor flatten_from(int axis) const;  ///< Joins `axis` and all behind it.
  /// Rows [begin, end) of the leading axis, sharing memory.
  Tensor slice(std::int64_t begin, std::int64_t end) const;
  Tensor clone() const;
  /// A copy with elements converted. Returns a clone when the type is the same.
  Tensor to(DType dtype) const;
  /// The same values on `device`: a copy, or this very handle where they are there already.
  Tensor to(Device device) const;
  /// Same shape and type; devices may differ. Where the host takes part, it returns when the copy is done.
  void copy_from(const Tensor& other) const;
  void fill(double value) const;

  /// True when no other handle shares the memory, so writing cannot surprise anyone.
  bool is_sole_owner() const { return storage_.use_count() == 1; }
  /// The one element, as double. Throws Error on any other count.
  double item() const;

 private:
  void check_dtype(DType wanted) const;

  Shape shape_;
  DType dtype_ = DType::f32;
  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;  // bytes
};

Tensor empty_like(const Tensor& t);
Tensor zeros_like(const Tensor& t);

template <class T>
Tensor Tensor::from(const Shape& shape, std::span<const T> values, Device device) {
  Tensor out(shape, dtype_of<T>);
  check(static_cast<std::int64_t>(values.size()) == out.numel(), "tensor ", shape, " needs ", out.numel(),
        " values, got ", values.size());
  std::copy(values.begin(), values.end(), out.mutable_data<T>());
  return out.to(device);
}

}  // namespace earmark
