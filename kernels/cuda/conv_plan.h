// A convolution as cuDNN runs it: a graph of the convolution and what follows it, and the engine chosen for that.
// Activations are N x F x T x C, which cuDNN calls NHWC, and weights (O, Kf, Kt, I) are its KRSC.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/conv.h"
#include "kernels/cuda/dnn.h"

namespace earmark::kernels::cuda {

enum class ConvPass : std::uint8_t { forward, input_gradient, weight_gradient };

struct ConvProblem {
  ConvPass pass = ConvPass::forward;
  Shape x;       // (N, F, T, I)
  Shape weight;  // (O, Kf, Kt, I)
  ConvOptions options{};
  DType dtype = DType::f32;
  bool tf32 = false;   // f32: operands may be rounded to 10 bits of mantissa
  int alignment = 16;  // bytes that every address is a multiple of
  // Forward only, in this order:
  bool add = false;
  bool bias = false;
  bool relu = false;

  /// All of it as numbers, to look plans up by.
  using Key = std::array<std::int64_t, 17>;
  Key key() const;
};

/// Addresses on the GPU; those that the problem has not are null.
struct ConvOperands {
  void* x = nullptr;
  void* weight = nullptr;
  void* out = nullptr;  // forward: written; backward: its gradient, read
  void* add = nullptr;
  void* bias = nullptr;
};

class ConvPlan {
 public:
  /// The first engine that cuDNN's heuristics name for the GPU `device` describes and that supports the problem, gives
  /// the same bits every time, computes in the precision asked for and needs at most kMostWorkspace; null if there is
  /// none. Throws Error on other failures of cuDNN.
  static std::unique_ptr<const ConvPlan> make(const ConvProblem& problem, const Descriptor& device);
  static constexpr std::int64_t kMostWorkspace = std::int64_t{1} << 30;

  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  bool on_tensor_cores() const { return has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE); }
  bool deterministic() const { return !has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC); }
  std::int64_t engine() const { return engine_; }  ///< cuDNN's number of it, for reports.

  /// Queues it on the handle's stream; `workspace` has workspace_bytes().
  void run(cudnnHandle_t handle, const ConvOperands& operands, void* workspace) const;

 private:
  ConvPlan(std::vector<Descriptor> parts, Descriptor plan, std::vector<cudnnBackendNumericalNote_t> notes,
           std::int64_t engine, std::int64_t workspace_bytes)
      : parts_(std::move(parts)),
        plan_(std::move(plan)),
        notes_(std::move(notes)),
        engine_(engine),
        workspace_bytes_(workspace_bytes) {}
  bool has(cudnnBackendNumericalNote_t note) const;

  std::vector<Descriptor> parts_;  // the graph and the engine, which the plan refers to
  Descriptor plan_;
  std::vector<cudnnBackendNumericalNote_t> notes_;
  std::int64_t engine_;
  std::int64_t workspace_bytes_;
};

}  // namespace earmark::kernels::cuda
