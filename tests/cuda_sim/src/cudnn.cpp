// cuDNN's backend API: descriptors are bags of attributes; finalising an operation graph reads it into a Graph, which
// heuristics, engine configuration and plan hand on, and which executing a plan runs.
#include <cudnn.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "access.h"
#include "config.h"
#include "graph.h"
#include "streams.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace cudasim {
namespace {

/// So that programs without a workspace are found out.
constexpr std::int64_t kWorkspaceBytes = 4096;

struct Attribute {
  cudnnBackendAttributeType_t type = CUDNN_TYPE_INT64;
  std::size_t count = 0;
  std::vector<char> bytes;
};

struct Descriptor {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<int, Attribute> attributes;
  std::shared_ptr<const Graph> graph{};  ///< Of operation graphs and what is made from them.

  bool has(int name) const { return attributes.contains(name); }
  std::size_t count(int name) const { return has(name) ? attributes.at(name).count : 0; }

  /// The i-th value. Throws where there is none.
  template <class T>
  T get(int name, std::size_t i = 0) const {
    if (count(name) <= i || attributes.at(name).bytes.size() < (i + 1) * sizeof(T)) {
      throw std::runtime_error("attribute " + std::to_string(name) + " is missing, or has too few values");
    }
    T value;
    std::memcpy(&value, attributes.at(name).bytes.data() + i * sizeof(T), sizeof(T));
    return value;
  }
  const Descriptor& at(int name, std::size_t i = 0) const {
    return *static_cast<const Descriptor*>(get<void*>(name, i));
  }
};

thread_local std::string last_error;

std::size_t size_of(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    default:  // enumerations, float
      return 4;
  }
}

constexpr cudnnStatus_t kNoMemory = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;

/// Runs f, and turns what it throws into a status with words.
template <class F>
cudnnStatus_t guarded(F f) {
  try {
    f();
    return CUDNN_STATUS_SUCCESS;
  } catch (const std::exception& e) {
    last_error = e.what();
    return CUDNN_STATUS_BAD_PARAM;
  }
}

/// The same for what fail_library_call() counts.
template <class F>
cudnnStatus_t counted(F f) {
  if (next_library_call_fails()) {
    last_error = "as the test asked";
    return kNoMemory;
  }
  return guarded(f);
}

cudaDataType element_type(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_FLOAT:
      return CUDA_R_32F;
    case CUDNN_DATA_DOUBLE:
      return CUDA_R_64F;
    case CUDNN_DATA_BFLOAT16:
      return CUDA_R_16BF;
    case CUDNN_DATA_HALF:
      return CUDA_R_16F;
    default:
      throw std::runtime_error("data type " + std::to_string(type) + " is not simulated");
  }
}

GraphTensor read_tensor(const Descriptor& d) {
  GraphTensor t;
  t.id = d.get<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
  t.type = element_type(d.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE));
  t.alignment = d.get<std::int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  t.is_virtual = d.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL) && d.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  for (std::size_t i = 0; i < 4; ++i) {
    t.extent[i] = d.get<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, i);
    t.stride[i] = d.get<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES, i);
  }
  return t;
}

/// One operation in three passes, each with its own names for the same attributes.
struct ConvolutionNames {
  int x, w, y, options, alpha, beta;
};
constexpr ConvolutionNames kForward{
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr ConvolutionNames kInputGradient{
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr ConvolutionNames kWeightGradient{
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

double read_factor(const Descriptor& d, int name) {
  const bool is_double = d.has(name) && d.attributes.at(name).type == CUDNN_TYPE_DOUBLE;
  return is_double ? d.get<double>(name) : d.get<float>(name);
}

Convolution read_convolution(const Descriptor& d, Pass pass, const ConvolutionNames& names) {
  Convolution c{pass, read_tensor(d.at(names.x)),  read_tensor(d.at(names.w)), read_tensor(d.at(names.y)), {}, {},
                {},   read_factor(d, names.alpha), read_factor(d, names.beta)};
  const Descriptor& options = d.at(names.options);
  if (options.get<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION) {
    throw std::runtime_error("of convolutions, cross-correlation alone is simulated");
  }
  for (std::size_t axis = 0; axis < 2; ++axis) {
    c.padding[axis] = options.get<std::int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis);
    c.stride[axis] = options.get<std::int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis);
    c.dilation[axis] = options.get<std::int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS, axis);
    const std::int64_t padded =
        c.x.extent[axis + 2] + c.padding[axis] + options.get<std::int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, axis);
    const std::int64_t reach = (c.w.extent[axis + 2] - 1) * c.dilation[axis] + 1;
    if (c.y.extent[axis + 2] != (padded - reach) / c.stride[axis] + 1) {
      throw std::runtime_error("the extents of a convolution's tensors do not fit its options");
    }
  }
  if (c.x.extent[0] != c.y.extent[0] || c.x.extent[1] != c.w.extent[1] || c.y.extent[1] != c.w.extent[0]) {
    throw std::runtime_error("the samples or channels of a convolution's tensors do not fit each other");
  }
  return c;
}

Pointwise read_pointwise(const Descriptor& d) {
  const auto mode =
      d.at(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  if (mode != CUDNN_POINTWISE_ADD && mode != CUDNN_POINTWISE_RELU_FWD) {
    throw std::runtime_error("of pointwise functions, ADD and RELU_FWD are simulated");
  }
  Pointwise p;
  p.relu = mode == CUDNN_POINTWISE_RELU_FWD;
  p.a = read_tensor(d.at(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
  p.b = p.relu ? GraphTensor{} : read_tensor(d.at(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
  p.y = read_tensor(d.at(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  return p;
}

Operation read_operation(const Descriptor& d) {
  switch (d.type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return read_convolution(d, Pass::forward, kForward);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return read_convolution(d, Pass::input_gradient, kInputGradient);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return read_convolution(d, Pass::weight_gradient, kWeightGradient);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return read_pointwise(d);
    default:
      throw std::runtime_error("operation " + std::to_string(d.type) + " is not simulated");
  }
}

std::shared_ptr<const Graph> read_graph(const Descriptor& d) {
  auto graph = std::make_shared<Graph>();
  for (std::size_t i = 0; i < d.count(CUDNN_ATTR_OPERATIONGRAPH_OPS); ++i) {
    graph->operations.push_back(read_operation(d.at(CUDNN_ATTR_OPERATIONGRAPH_OPS, i)));
  }
  if (graph->operations.empty()) {
    throw std::runtime_error("an operation graph without operations");
  }
  return graph;
}

void finalize(Descriptor& d) {
  switch (d.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      read_tensor(d);
      break;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      d.graph = read_graph(d);
      break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      d.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE);
      d.graph = d.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).graph;
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      if (!d.has(CUDNN_ATTR_EXECUTION_PLAN_HANDLE) && !d.has(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)) {
        throw std::runtime_error("a plan needs a handle or the properties of a device");
      }
      d.graph = d.at(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).graph;
      count_plan();
      break;
    default:
      break;
  }
  d.finalized = true;
}

/// Descriptors are filled that the caller made.
std::int64_t fill(void* values, std::int64_t wanted, const std::shared_ptr<const Graph>& graph) {
  if (wanted > 0 && values != nullptr) {
    Descriptor& d = **static_cast<Descriptor**>(values);
    d.graph = graph;
    d.finalized = true;
  }
  return 1;
}

std::int64_t put_number(void* values, std::int64_t number) {
  std::memcpy(values, &number, sizeof number);
  return 1;
}

/// How many values an attribute has that cuDNN works out itself.
std::int64_t answer(const Descriptor& d, cudnnBackendAttributeName_t name, std::int64_t wanted, void* values) {
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS:
    case CUDNN_ATTR_ENGINECFG_ENGINE:
      return fill(values, wanted, d.graph);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
      return put_number(values, 0);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return 0;
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return put_number(values, kWorkspaceBytes);
    default:
      throw std::runtime_error("attribute " + std::to_string(name) + " cannot be read");
  }
}

void set(Descriptor& d, int name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
  if (d.finalized) {
    throw std::runtime_error("the descriptor is finalised already");
  }
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (!static_cast<const Descriptor* const*>(values)[i]->finalized) {
        throw std::runtime_error("refers to a descriptor that is not finalised");
      }
    }
  }
  const auto* const first = static_cast<const char*>(values);
  const auto number = static_cast<std::size_t>(count);
  d.attributes[name] = {type, number, std::vector<char>(first, first + number * size_of(type))};
}

void execute(cudaStream_t stream, const Descriptor& plan, const Descriptor& pack) {
  auto places = std::make_shared<Bindings>();
  for (std::size_t i = 0; i < pack.count(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS); ++i) {
    places->bind(pack.get<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, i),
                 pack.get<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, i));
  }
  places->check(*plan.graph);
  void* const workspace = pack.get<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  const auto run_graph = [graph = plan.graph, places, workspace] {
    if (library_writes(workspace, kWorkspaceBytes, "cudnnBackendExecute (workspace)")) {
      std::memset(workspace, 0xff, kWorkspaceBytes);
      run(*graph, *places);
    }
  };
  if (enqueue(stream, "cudnnBackendExecute", run_graph) != cudaSuccess) {
    throw std::runtime_error("the stream takes no work");
  }
}

Descriptor& as_descriptor(cudnnBackendDescriptor_t d) { return *static_cast<Descriptor*>(d); }

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

const char* cudnnGetErrorString(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "CUDNN_STATUS_SUCCESS"
         : status == kNoMemory          ? "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"
                                        : "CUDNN_STATUS_BAD_PARAM";
}

void cudnnGetLastErrorString(char* text, std::size_t size) { std::snprintf(text, size, "%s", last_error.c_str()); }

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return counted([&] { *handle = new cudnnContext; });
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
  return counted([&] { *descriptor = new Descriptor{type, false, {}, {}}; });
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  delete static_cast<Descriptor*>(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
  return guarded([&] { set(as_descriptor(descriptor), name, type, count, values); });
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return counted([&] { finalize(as_descriptor(descriptor)); });
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t /*type*/, std::int64_t wanted, std::int64_t* count,
                                       void* values) {
  return guarded([&] { *count = answer(as_descriptor(descriptor), name, wanted, values); });
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
  return counted([&] { execute(handle->stream, as_descriptor(plan), as_descriptor(pack)); });
}

}  // extern "C"
