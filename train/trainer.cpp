#include "train/trainer.h"

#include <array>
#include <cmath>
#include <vector>

#include "autograd/layer_range.h"
#include "kernels/error.h"
#include "kernels/trace.h"

namespace earmark::train {

bool StepReport::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

Tensor concatenate(const Tensor& a, const Tensor& b, Device device) {
  check(a.shape() == b.shape().with_leading(a.dim(0)), "concatenate: ", a.shape(), " and ", b.shape());
  const Tensor out(a.shape().with_leading(a.dim(0) + b.dim(0)), a.dtype(), device);
  out.slice(0, a.dim(0)).copy_from(a);
  out.slice(a.dim(0), a.dim(0) + b.dim(0)).copy_from(b);
  return out;
}

Trainer::Trainer(nn::Model model, const OptimizerOptions& options, double temperature)
    : model_(std::move(model)), adam_(*model_.encoder, options), temperature_(temperature) {}

void Trainer::begin_step(const data::Batch& batch, double learning_rate) {
  const TraceRange range("train step");
  nn::Encoder& encoder = *model_.encoder;
  encoder.set_training(true);
  const NtXentResult result = loss_of(batch);
  {
    const TraceRange backward("backward");
    result.loss.backward();
  }
  adam_.step(learning_rate, result.loss.value());
  encoder.weights_changed();
  reports_.push(std::array{result.loss.value(), result.top1, adam_.norm()});
}

NtXentResult Trainer::loss_of(const data::Batch& batch) {
  const TraceRange range("forward");
  nn::Encoder& encoder = *model_.encoder;
  const Variable embeddings = encoder.forward(Variable(concatenate(batch.clean, batch.distorted, encoder.device())));
  const LayerRange loss("loss");
  return nt_xent(embeddings, temperature_);
}

StepReport Trainer::finish_step() {
  const std::vector<double> numbers = reports_.take();
  const StepReport report{.loss = numbers[0], .top1 = numbers[1], .grad_norm = numbers[2]};
  if (!report.finite()) {
    adam_.step_was_refused();
  }
  return report;
}

StepReport Trainer::step(const data::Batch& batch, double learning_rate) {
  begin_step(batch, learning_rate);
  return finish_step();
}

}  // namespace earmark::train
