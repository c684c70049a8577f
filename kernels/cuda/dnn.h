// cuDNN 9: one handle per thread and GPU, and its backend graph API, in which everything is a descriptor with
// attributes: tensors and operations make a graph, heuristics name engines for it, an engine becomes a plan.
// (The convolution calls of old are deprecated.)
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include "kernels/error.h"

namespace earmark::kernels::cuda {

static_assert(CUDNN_VERSION >= 90800, "cuDNN 9.8 or newer is needed: plans are made from a description of the GPU");

/// Ready for calls on the current stream of the current GPU; not to be kept.
cudnnHandle_t dnn();

/// Throws Error naming `what`, with cuDNN's own words, unless `status` is success.
void check_status(cudnnStatus_t status, const char* what, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE());

namespace detail {
template <class T>
struct AttributeType;
template <>
struct AttributeType<std::int64_t> {
  static constexpr auto value = CUDNN_TYPE_INT64;
};
template <>
struct AttributeType<float> {
  static constexpr auto value = CUDNN_TYPE_FLOAT;
};
template <>
struct AttributeType<double> {
  static constexpr auto value = CUDNN_TYPE_DOUBLE;
};
template <>
struct AttributeType<bool> {
  static constexpr auto value = CUDNN_TYPE_BOOLEAN;
};
template <>
struct AttributeType<void*> {
  static constexpr auto value = CUDNN_TYPE_VOID_PTR;
};
template <>
struct AttributeType<cudnnHandle_t> {
  static constexpr auto value = CUDNN_TYPE_HANDLE;
};
template <>
struct AttributeType<cudnnDataType_t> {
  static constexpr auto value = CUDNN_TYPE_DATA_TYPE;
};
template <>
struct AttributeType<cudnnConvolutionMode_t> {
  static constexpr auto value = CUDNN_TYPE_CONVOLUTION_MODE;
};
template <>
struct AttributeType<cudnnPointwiseMode_t> {
  static constexpr auto value = CUDNN_TYPE_POINTWISE_MODE;
};
template <>
struct AttributeType<cudnnBackendHeurMode_t> {
  static constexpr auto value = CUDNN_TYPE_HEUR_MODE;
};
template <>
struct AttributeType<cudnnBackendNumericalNote_t> {
  static constexpr auto value = CUDNN_TYPE_NUMERICAL_NOTE;
};
}  // namespace detail

/// One descriptor of the backend API: attributes are set, then it is finalised and changes no more. Those it refers to
/// must be finalised before it, and outlive it.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);

  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }
  template <class T>
  void set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set_raw(name, detail::AttributeType<T>::value, static_cast<std::int64_t>(values.size()), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, std::initializer_list<T> values) {
    set(name, std::span<const T>(values.begin(), values.size()));
  }
  void set(cudnnBackendAttributeName_t name, std::string_view text);
  void refer(cudnnBackendAttributeName_t name, std::span<const cudnnBackendDescriptor_t> others);
  void refer(cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t other) { refer(name, {&other, 1}); }
  void finalize();
  /// False where cuDNN refuses: a plan on an engine that does not support the graph. Throws Error for want of memory.
  bool try_finalize();

  /// Reads up to `count` values; returns how many there are.
  template <class T>
  std::int64_t read(cudnnBackendAttributeName_t name, std::int64_t count, T* values) const {
    return read_raw(name, detail::AttributeType<T>::value, count, values);
  }
  /// Fills descriptors, made and not finalised, with those that the attribute has; returns how many it has.
  std::int64_t read_descriptors(cudnnBackendAttributeName_t name, std::int64_t count,
                                cudnnBackendDescriptor_t* descriptors) const {
    return read_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, descriptors);
  }

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
               const void* values);
  std::int64_t read_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                        void* values) const;

  struct Destroy {
    void operator()(cudnnBackendDescriptor_t d) const { static_cast<void>(cudnnBackendDestroyDescriptor(d)); }
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

/// What cuDNN chooses engines by: the GPU of `handle`, or one that need not be here, from cuDNN's JSON description.
Descriptor device_properties(cudnnHandle_t handle);
Descriptor device_properties(std::string_view json);

}  // namespace earmark::kernels::cuda

#define CUDNN_CHECK(call) ::earmark::kernels::cuda::check_status((call), #call)
