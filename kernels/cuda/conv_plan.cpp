#include "kernels/cuda/conv_plan.h"

#include <algorithm>
#include <utility>

namespace earmark::kernels::cuda {
namespace {

/// What cuDNN knows tensors by.
enum Uid : std::int64_t { kX = 1, kWeight, kOut, kAdd, kBias, kFirstVirtual };

cudnnDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDNN_DATA_FLOAT;
    case DType::f64:
      return CUDNN_DATA_DOUBLE;
    case DType::bf16:
      return CUDNN_DATA_BFLOAT16;
    case DType::f16:
      return CUDNN_DATA_HALF;
    default:
      fail("conv: ", name_of(dtype), " is not a type of convolutions");
  }
}

/// Sums are kept in float, but for double.
cudnnDataType_t compute_type(DType dtype) { return dtype == DType::f64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT; }

/// The attributes of the three operations, each under its own names.
struct OperationNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t x, weight, out, conv, alpha, beta;
};
OperationNames names_of(ConvPass pass) {
  switch (pass) {
    case ConvPass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvPass::input_gradient:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvPass::weight_gradient:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

/// The graph of a problem. Its descriptors stay in `parts`.
class GraphBuilder {
 public:
  GraphBuilder(const ConvProblem& problem, std::vector<Descriptor>& parts)
      : problem_(problem), parts_(parts), out_(conv_output_shape(problem.x, problem.weight, problem.options)) {}

  cudnnBackendDescriptor_t build() {
    const bool alone = !problem_.add && !problem_.bias && !problem_.relu;
    cudnnBackendDescriptor_t value = alone ? tensor(kOut, out_) : intermediate();
    convolve(value);
    if (problem_.add) {
      value = pointwise(CUDNN_POINTWISE_ADD, value, tensor(kAdd, out_), !problem_.bias && !problem_.relu);
    }
    if (problem_.bias) {
      value = pointwise(CUDNN_POINTWISE_ADD, value, tensor(kBias, {1, 1, 1, out_[3]}), !problem_.relu);
    }
    if (problem_.relu) {
      pointwise(CUDNN_POINTWISE_RELU_FWD, value, nullptr, true);
    }
    Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
    return keep(std::move(graph));
  }

 private:
  cudnnBackendDescriptor_t keep(Descriptor d) {
    d.finalize();
    parts_.push_back(std::move(d));
    return parts_.back().get();
  }

  /// (n, f, t, c) in memory; cuDNN names the axes n, c, f, t.
  cudnnBackendDescriptor_t tensor(std::int64_t uid, const Shape& s) {
    const bool in_memory = uid < kFirstVirtual;
    Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, {in_memory ? data_type(problem_.dtype) : compute_type(problem_.dtype)});
    d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {s[0], s[3], s[1], s[2]});
    d.set(CUDNN_ATTR_TENSOR_STRIDES, {s[1] * s[2] * s[3], std::int64_t{1}, s[2] * s[3], s[3]});
    d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {uid});
    d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {std::int64_t{in_memory ? problem_.alignment : 16}});
    d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, {!in_memory});
    return keep(std::move(d));
  }
  cudnnBackendDescriptor_t intermediate() { return tensor(next_virtual_++, out_); }

  void convolve(cudnnBackendDescriptor_t out) {
    const ConvOptions& o = problem_.options;
    Descriptor conv(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    conv.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {std::int64_t{2}});
    conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, {compute_type(problem_.dtype)});
    conv.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, {CUDNN_CROSS_CORRELATION});
    conv.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {std::int64_t{o.pad_f.before}, std::int64_t{o.pad_t.before}});
    conv.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {std::int64_t{o.pad_f.after}, std::int64_t{o.pad_t.after}});
    conv.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {std::int64_t{1}, std::int64_t{1}});
    conv.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {std::int64_t{o.stride_f}, std::int64_t{o.stride_t}});
    const cudnnBackendDescriptor_t options = keep(std::move(conv));

    const OperationNames names = names_of(problem_.pass);
    Descriptor operation(names.type);
    operation.refer(names.x, tensor(kX, problem_.x));
    operation.refer(names.weight, tensor(kWeight, problem_.weight));
    operation.refer(names.out, out);
    operation.refer(names.conv, options);
    if (problem_.dtype == DType::f64) {
      operation.set(names.alpha, {1.0});
      operation.set(names.beta, {0.0});
    } else {
      operation.set(names.alpha, {1.0F});
      operation.set(names.beta, {0.0F});
    }
    operations_.push_back(keep(std::move(operation)));
  }

  /// mode(a, b), b null for functions of one operand.
  cudnnBackendDescriptor_t pointwise(cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t a, cudnnBackendDescriptor_t b,
                                     bool last) {
    Descriptor function(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    function.set(CUDNN_ATTR_POINTWISE_MODE, {mode});
    function.set(CUDNN_ATTR_POINTWISE_MATH_PREC, {compute_type(problem_.dtype)});
    const cudnnBackendDescriptor_t finished = keep(std::move(function));
    const cudnnBackendDescriptor_t result = last ? tensor(kOut, out_) : intermediate();
    Descriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, finished);
    operation.refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    if (b != nullptr) {
      operation.refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    }
    operation.refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, result);
    operations_.push_back(keep(std::move(operation)));
    return result;
  }

  const ConvProblem& problem_;
  std::vector<Descriptor>& parts_;
  Shape out_;
  std::vector<cudnnBackendDescriptor_t> operations_;
  std::int64_t next_virtual_ = kFirstVirtual;
};

/// Engines for `graph`, best first.
std::vector<Descriptor> engine_configurations(cudnnBackendDescriptor_t graph, const Descriptor& device,
                                              cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, {mode});
  heuristics.refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.get());
  if (!heuristics.try_finalize()) {  // no engine knows such a graph
    return {};
  }
  std::int64_t count = heuristics.read_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, 0, nullptr);
  std::vector<Descriptor> configurations;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = 0; i < count; ++i) {
    configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    raw.push_back(configurations.back().get());
  }
  count = heuristics.read_descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, count, raw.data());
  configurations.erase(configurations.begin() + std::min<std::ptrdiff_t>(count, std::ssize(configurations)),
                       configurations.end());
  return configurations;
}

struct Engine {
  std::int64_t number = -1;
  std::vector<cudnnBackendNumericalNote_t> notes;

  explicit Engine(const Descriptor& configuration) {
    const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t raw = engine.get();
    configuration.read_descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, 1, &raw);
    engine.read(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1, &number);
    notes.resize(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
    notes.resize(
        static_cast<std::size_t>(engine.read(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, std::ssize(notes), notes.data())));
  }
  bool has(cudnnBackendNumericalNote_t note) const { return std::ranges::find(notes, note) != notes.end(); }
};

/// Whether the engine's results are what the problem asks for.
bool precise_enough(const Engine& engine, const ConvProblem& problem) {
  if (engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) || engine.has(CUDNN_NUMERICAL_NOTE_FFT) ||
      engine.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) {
    return false;
  }
  const bool exact = problem.dtype == DType::f32 && !problem.tf32;
  return !exact ||
         !(engine.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || engine.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
}

}  // namespace

ConvProblem::Key ConvProblem::key() const {
  const std::int64_t flags = (tf32 ? 1 : 0) + (add ? 2 : 0) + (bias ? 4 : 0) + (relu ? 8 : 0);
  return {static_cast<std::int64_t>(pass),
          static_cast<std::int64_t>(dtype),
          flags,
          alignment,
          x[0],
          x[1],
          x[2],
          x[3],
          weight[0],
          weight[1],
          weight[2],
          options.stride_f,
          options.stride_t,
          options.pad_f.before,
          options.pad_f.after,
          options.pad_t.before,
          options.pad_t.after};
}

std::unique_ptr<const ConvPlan> ConvPlan::make(const ConvProblem& problem, const Descriptor& device) {
  std::vector<Descriptor> parts;
  const cudnnBackendDescriptor_t graph = GraphBuilder(problem, parts).build();
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    for (Descriptor& configuration : engine_configurations(graph, device, mode)) {
      const Engine engine(configuration);
      if (!precise_enough(engine, problem)) {
        continue;
      }
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration.get());
      plan.refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device.get());
      std::int64_t workspace = 0;
      if (!plan.try_finalize() || plan.read(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1, &workspace) != 1 ||
          workspace > kMostWorkspace) {
        continue;
      }
      parts.push_back(std::move(configuration));
      return std::unique_ptr<const ConvPlan>(
          new ConvPlan(std::move(parts), std::move(plan), engine.notes, engine.number, workspace));
    }
  }
  return nullptr;
}

bool ConvPlan::has(cudnnBackendNumericalNote_t note) const { return std::ranges::find(notes_, note) != notes_.end(); }

void ConvPlan::run(cudnnHandle_t handle, const ConvOperands& operands, void* workspace) const {
  std::vector<std::int64_t> uids;
  std::vector<void*> addresses;
  const auto bind = [&](std::int64_t uid, void* address) {
    if (address != nullptr) {
      uids.push_back(uid);
      addresses.push_back(address);
    }
  };
  bind(kX, operands.x);
  bind(kWeight, operands.weight);
  bind(kOut, operands.out);
  bind(kAdd, operands.add);
  bind(kBias, operands.bias);
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids);
  pack.set<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, addresses);
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {workspace});
  pack.finalize();
  CUDNN_CHECK(cudnnBackendExecute(handle, plan_.get(), pack.get()));
}

}  // namespace earmark::kernels::cuda
