#include "train/recorded_step.h"

#include "kernels/cuda/graph.h"
#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::train {

// A build without CUDA links none of this: there is no GPU to make one for.
RecordedStep::RecordedStep(Device device) : device_(device) {
  check(kBuiltWithCuda && device.backend == Backend::cuda, "a CUDA graph needs a GPU, got ", device);
  if constexpr (kBuiltWithCuda) {
    kernels::cuda::make_current(device.index);
    kernels::cuda::synchronize();
    stream_ = kernels::cuda::own_stream(device.index);
  }
}

RecordedStep::~RecordedStep() {
  if constexpr (kBuiltWithCuda) {
    try {
      kernels::cuda::synchronize_stream();  // the default stream goes on with the same memory
    } catch (const Error&) {                // said already by whoever waited for the step
    }
  }
}

StepLosses RecordedStep::run(const Tensor& clean, const Tensor& distorted, const Compute& compute) {
  check(clean.shape() == distorted.shape(), "train step: clean views ", clean.shape(), ", distorted ",
        distorted.shape());
  const Shape shape = clean.shape().with_leading(2 * clean.dim(0));
  if (!views_ || views_.shape() != shape || views_.dtype() != clean.dtype()) {
    begin_anew(shape, clean.dtype());
  }
  views_.slice(0, clean.dim(0)).copy_from(clean);
  views_.slice(clean.dim(0), shape[0]).copy_from(distorted);
  if constexpr (kBuiltWithCuda) {
    const auto work = [&] { losses_ = compute(views_); };
    if (!rehearsed_) {
      graph_->rehearse(work);
      rehearsed_ = true;
      return losses_;
    }
    if (!graph_->recorded()) {
      const TraceRange range("record");
      losses_ = {};
      graph_->record(work);
    }
    const TraceRange range("launch graph");
    graph_->launch();
  }
  return losses_;
}

bool RecordedStep::recorded() const {
  if constexpr (kBuiltWithCuda) {
    return graph_ != nullptr && graph_->recorded();
  }
  return false;
}

void RecordedStep::forget() {
  losses_ = {};
  graph_.reset();
  rehearsed_ = false;
  views_ = {};
}

void RecordedStep::begin_anew(const Shape& views, DType dtype) {
  if constexpr (kBuiltWithCuda) {
    losses_ = {};
    graph_ = std::make_shared<kernels::cuda::Graph>(device_.index);
  }
  rehearsed_ = false;
  views_ = Tensor(views, dtype, device_);
}

}  // namespace earmark::train
