// Through cuDNN: a plan for each shape, type and pass, made when it first comes up and kept. Floor of a pass on an
// H100: 2 N F' T' O Kf Kt I operations at 67 TFLOP/s in float, 495 in TF32 and 990 in bf16, or its operands and result
// once at 3.35 TB/s, whichever takes longer. Products of many channels are to reach 60 to 70 % of the first, as
// cuDNN's do at best; those of few, the network's first and last ones, 70 to 80 % of the second.
#include "kernels/conv.h"

#include <map>

#include "kernels/cuda/conv_epilogue.h"
#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

/// The plans of one thread on one GPU: cuDNN does not promise that threads may share them.
class Plans {
 public:
  /// Null where cuDNN has no engine for it.
  const ConvPlan* find(const ConvProblem& problem) {
    const ConvProblem::Key key = problem.key();
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      if (plans_.size() >= kMost) {
        plans_.clear();
      }
      found = plans_.emplace(key, ConvPlan::make(problem, device_)).first;
    }
    return found->second.get();
  }

  /// Of the GPU that `handle` is for.
  static Plans& of_current_gpu(cudnnHandle_t handle) {
    thread_local std::map<int, Plans> all;
    return all.try_emplace(current_device(), handle).first->second;
  }

  explicit Plans(cudnnHandle_t handle) : device_(device_properties(handle)) {}

 private:
  static constexpr std::size_t kMost = 4096;  // a network has 60; lengths of batches multiply them
  Descriptor device_;
  std::map<ConvProblem::Key, std::unique_ptr<const ConvPlan>> plans_;
};

/// The largest power of two up to 16 that every address is a multiple of: slices may start anywhere.
int common_alignment(std::initializer_list<Tensor> tensors) {
  constexpr std::uintptr_t kMost = 16;
  std::uintptr_t bits = kMost;
  for (const Tensor& t : tensors) {
    bits |= t ? reinterpret_cast<std::uintptr_t>(t.raw()) : 0;
  }
  return static_cast<int>(bits & (~bits + 1));
}

void* address(const Tensor& t) { return t ? t.raw() : nullptr; }

/// False where cuDNN has no engine.
bool try_run(const ConvProblem& problem, const ConvOperands& operands, Device device) {
  const cudnnHandle_t handle = dnn();
  const ConvPlan* plan = Plans::of_current_gpu(handle).find(problem);
  if (plan == nullptr) {
    return false;
  }
  const Tensor workspace({plan->workspace_bytes()}, DType::u8, device);
  plan->run(handle, operands, workspace.raw());
  note_call("cudnnBackendExecute", current_stream());
  return true;
}

void run(const ConvProblem& problem, const ConvOperands& operands, Device device) {
  check(try_run(problem, operands, device), "conv: cuDNN has no engine for x ", problem.x, " and weight ",
        problem.weight, " in ", name_of(problem.dtype));
}

void clear(const Tensor& t) {
  if (t) {
    zero(t.raw(), t.bytes());
  }
}

bool nothing_to_add(const Tensor& x, const Tensor& weight, const Tensor& out) {
  return x.numel() == 0 || weight.numel() == 0 || out.numel() == 0;
}

}  // namespace

std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& /*weight*/, const Shape& /*x*/,
                                                 const ConvOptions& /*options*/) {
  return nullptr;  // cuDNN reads weights as they are, and plans depend on N
}

void conv_forward(const ConvForward& a) {
  if (nothing_to_add(a.x, a.weight, a.out)) {
    clear(a.out);
    return conv_epilogue(a.out, a.bias, a.add, a.relu);
  }
  ConvProblem problem{.pass = ConvPass::forward,
                      .x = a.x.shape(),
                      .weight = a.weight.shape(),
                      .options = a.options,
                      .dtype = a.x.dtype(),
                      .tf32 = tf32_allowed(),
                      .alignment = common_alignment({a.x, a.weight, a.out, a.add, a.bias}),
                      .add = static_cast<bool>(a.add),
                      .bias = static_cast<bool>(a.bias),
                      .relu = a.relu};
  const Device device = a.x.device();
  const ConvOperands operands{.x = a.x.raw(), .weight = a.weight.raw(), .out = a.out.raw()};
  const bool alone = !problem.add && !problem.bias && !problem.relu;
  ConvOperands all = operands;
  all.add = address(a.add);
  all.bias = address(a.bias);
  if (!alone && try_run(problem, all, device)) {
    return;
  }
  problem.add = problem.bias = problem.relu = false;
  run(problem, operands, device);
  if (!alone) {
    conv_epilogue(a.out, a.bias, a.add, a.relu);
  }
}

void conv_backward(const ConvBackward& a) {
  if (nothing_to_add(a.x, a.weight, a.dout)) {
    clear(a.dx);
    clear(a.dweight);
  } else {
    ConvProblem problem{.x = a.x.shape(),
                        .weight = a.weight.shape(),
                        .options = a.options,
                        .dtype = a.x.dtype(),
                        .tf32 = tf32_allowed()};
    if (a.dx) {
      problem.pass = ConvPass::input_gradient;
      problem.alignment = common_alignment({a.dx, a.weight, a.dout});
      run(problem, {.x = a.dx.raw(), .weight = a.weight.raw(), .out = a.dout.raw()}, a.x.device());
    }
    if (a.dweight) {
      problem.pass = ConvPass::weight_gradient;
      problem.alignment = common_alignment({a.x, a.dweight, a.dout});
      run(problem, {.x = a.x.raw(), .weight = a.dweight.raw(), .out = a.dout.raw()}, a.x.device());
    }
  }
  if (a.dbias) {
    conv_bias_gradient(a.dout, a.dbias);
  }
}

}  // namespace earmark::kernels::cuda
