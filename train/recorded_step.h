// A training step in a CUDA graph. Some hundreds of launches become one; the numbers are the same bits.
#pragma once

#include <functional>
#include <memory>

#include "kernels/tensor.h"

namespace earmark::kernels::cuda {
class Graph;
}

namespace earmark::train {

/// What a step leaves behind for its report, each () on the encoder's device.
struct StepLosses {
  Tensor loss, top1;
};

class RecordedStep {
 public:
  /// Everything that this thread does on `device`, a GPU, goes to a stream of its own from now on, until this is
  /// destroyed by the same thread: the default stream cannot be recorded. Waits for what was queued before.
  explicit RecordedStep(Device device);
  ~RecordedStep();
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  using Compute = std::function<StepLosses(const Tensor& views)>;
  /// Computes on the rows of `clean`, then of `distorted`: the first time as always, the second time by recording it,
  /// then by the record, which does what `compute` did when it was recorded. Views of another shape begin anew. Throws
  /// Error where something in `compute` cannot be recorded.
  StepLosses run(const Tensor& clean, const Tensor& distorted, const Compute& compute);
  /// Whether the last step came from the record.
  bool recorded() const;
  /// Drops the record: before the ranks go whose exchanges are part of it.
  void forget();

 private:
  void begin_anew(const Shape& views, DType dtype);

  Device device_;
  std::shared_ptr<void> stream_;
  std::shared_ptr<kernels::cuda::Graph> graph_;
  Tensor views_;       // where the graph reads them
  StepLosses losses_;  // where it writes them
  bool rehearsed_ = false;
};

}  // namespace earmark::train
