#include "kernels/tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/dispatch.h"

namespace earmark {

Tensor::Tensor(const Shape& shape, DType dtype, Device device)
    : shape_(shape),
      dtype_(dtype),
      storage_(std::make_shared<Storage>(static_cast<std::size_t>(shape.numel()) * size_of(dtype), device)) {}

Tensor::Tensor(const Shape& shape, DType dtype, void* data, std::shared_ptr<const void> owner)
    : shape_(shape),
      dtype_(dtype),
      storage_(std::make_shared<Storage>(data, static_cast<std::size_t>(shape.numel()) * size_of(dtype),
                                         std::move(owner))) {}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor out(shape, dtype, device);
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      kernels::cuda::make_current(device.index);
      kernels::cuda::zero(out.raw(), out.bytes());
      return out;
    }
  }
  std::memset(out.raw(), 0, out.bytes());
  return out;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor out(shape, dtype, device);
  out.fill(value);
  return out;
}

Tensor Tensor::reshape(const Shape& shape) const {
  check(shape.numel() == numel(), "cannot reshape ", shape_, " to ", shape);
  Tensor out = *this;
  out.shape_ = shape;
  return out;
}

Tensor Tensor::flatten_from(int axis) const {
  std::vector<std::int64_t> dims(shape_.dims().begin(), shape_.dims().begin() + axis);
  std::int64_t rest = 1;
  for (int i = axis; i < static_cast<int>(shape_.rank()); ++i) {
    rest *= shape_[i];
  }
  dims.push_back(rest);
  return reshape(Shape(std::span<const std::int64_t>(dims)));
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  check(0 <= begin && begin <= end && end <= dim(0), "slice [", begin, ", ", end, ") of ", shape_);
  const std::int64_t row = dim(0) == 0 ? 0 : numel() / dim(0);
  Tensor out = *this;
  out.shape_ = shape_.with_leading(end - begin);
  out.offset_ += static_cast<std::size_t>(begin * row) * size_of(dtype_);
  return out;
}

Tensor Tensor::clone() const {
  Tensor out(shape_, dtype_, device());
  out.copy_from(*this);
  return out;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) {
    return clone();
  }
  Tensor out(shape_, dtype, device());
  if constexpr (kBuiltWithCuda) {
    if (device().backend == Backend::cuda) {
      kernels::cuda::make_current(device().index);
      kernels::cuda::convert_elements(out.raw(), dtype, raw(), dtype_, numel());
      return out;
    }
  }
  dispatch_real(dtype_, [&]<class From>() {
    dispatch_real(dtype, [&]<class To>() {
      std::transform(data<From>(), data<From>() + numel(), out.mutable_data<To>(),
                     [](From v) { return convert<To>(v); });
    });
  });
  return out;
}

Tensor Tensor::to(Device device) const {
  if (device == this->device()) {
    return *this;
  }
  Tensor out(shape_, dtype_, device);
  out.copy_from(*this);
  return out;
}

void Tensor::copy_from(const Tensor& other) const {
  check(other.shape_ == shape_ && other.dtype_ == dtype_, "copy: ", name_of(other.dtype_), other.shape_, " into ",
        name_of(dtype_), shape_);
  if constexpr (kBuiltWithCuda) {
    if (device().backend == Backend::cuda || other.device().backend == Backend::cuda) {
      return kernels::cuda::copy(raw(), device(), other.raw(), other.device(), bytes());
    }
  }
  std::memcpy(raw(), other.raw(), bytes());
}

void Tensor::fill(double value) const {
  if constexpr (kBuiltWithCuda) {
    if (device().backend == Backend::cuda) {
      kernels::cuda::make_current(device().index);
      return kernels::cuda::fill(raw(), numel(), dtype_, value);
    }
  }
  dispatch_real(dtype_, [&]<class T>() { std::fill_n(mutable_data<T>(), numel(), convert<T>(value)); });
}

double Tensor::item() const {
  check(numel() == 1, "item: expected one element, got ", shape_);
  const Tensor here = to(Device{});
  double out = 0;
  dispatch_real(dtype_, [&]<class T>() { out = convert<double>(*here.data<T>()); });
  return out;
}

void Tensor::check_dtype(DType wanted) const {
  if (storage_ != nullptr && dtype_ == wanted) {
    return;  // without the names of types: asked for every pointer
  }
  check(storage_ != nullptr, "no tensor where one of type ", name_of(wanted), " was expected");
  fail("tensor ", shape_, " holds ", name_of(dtype_), ", expected ", name_of(wanted));
}

Tensor empty_like(const Tensor& t) { return Tensor(t.shape(), t.dtype(), t.device()); }
Tensor zeros_like(const Tensor& t) { return Tensor::zeros(t.shape(), t.dtype(), t.device()); }

}  // namespace earmark
