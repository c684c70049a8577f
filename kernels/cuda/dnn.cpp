#include "kernels/cuda/dnn.h"

#include <array>
#include <map>
#include <type_traits>

#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

static_assert(std::is_same_v<cudnnBackendDescriptor_t, void*>, "Descriptor owns it as void*");

struct DestroyDnn {
  void operator()(cudnnHandle_t handle) const { static_cast<void>(cudnnDestroy(handle)); }
};
using DnnHandle = std::unique_ptr<std::remove_pointer_t<cudnnHandle_t>, DestroyDnn>;

}  // namespace

cudnnHandle_t dnn() {
  thread_local std::map<int, DnnHandle> handles;
  DnnHandle& handle = handles[current_device()];
  if (!handle) {
    cudnnHandle_t fresh = nullptr;
    CUDNN_CHECK(cudnnCreate(&fresh));
    handle.reset(fresh);
  }
  CUDNN_CHECK(cudnnSetStream(handle.get(), current_stream()));
  return handle.get();
}

void check_status(cudnnStatus_t status, const char* what, const char* file, int line) {
  if (status != CUDNN_STATUS_SUCCESS) [[unlikely]] {
    std::array<char, 512> words{};
    cudnnGetLastErrorString(words.data(), words.size());
    throw_library_error(str(what, ": ", cudnnGetErrorString(status), " ", words.data()), file, line);
  }
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t fresh = nullptr;
  CUDNN_CHECK(cudnnBackendCreateDescriptor(type, &fresh));
  descriptor_.reset(fresh);
}

void Descriptor::set(cudnnBackendAttributeName_t name, std::string_view text) {
  set_raw(name, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(text.size()), text.data());
}

void Descriptor::refer(cudnnBackendAttributeName_t name, std::span<const cudnnBackendDescriptor_t> others) {
  set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(others.size()), others.data());
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t count,
                         const void* values) {
  CUDNN_CHECK(cudnnBackendSetAttribute(get(), name, type, count, values));
}

std::int64_t Descriptor::read_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                  std::int64_t count, void* values) const {
  std::int64_t present = 0;
  CUDNN_CHECK(cudnnBackendGetAttribute(get(), name, type, count, &present, values));
  return present;
}

void Descriptor::finalize() { CUDNN_CHECK(cudnnBackendFinalize(get())); }

bool Descriptor::try_finalize() {
  const cudnnStatus_t status = cudnnBackendFinalize(get());
  if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) {
    check_status(status, "cudnnBackendFinalize");  // says nothing about the graph: another time there may be memory
  }
  return status == CUDNN_STATUS_SUCCESS;
}

Descriptor device_properties(cudnnHandle_t handle) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_HANDLE, {handle});
  properties.finalize();
  return properties;
}

Descriptor device_properties(std::string_view json) {
  Descriptor properties(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  properties.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json);
  properties.finalize();
  return properties;
}

}  // namespace earmark::kernels::cuda
