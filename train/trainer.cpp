#include "train/trainer.h"

#include <cmath>

#include "autograd/functions.h"
#include "kernels/error.h"

namespace earmark::train {

bool StepReport::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

Tensor concatenate(const Tensor& a, const Tensor& b) {
  check(a.shape() == b.shape().with_leading(a.dim(0)), "concatenate: ", a.shape(), " and ", b.shape());
  const Tensor out(a.shape().with_leading(a.dim(0) + b.dim(0)), a.dtype());
  out.slice(0, a.dim(0)).copy_from(a);
  out.slice(a.dim(0), a.dim(0) + b.dim(0)).copy_from(b);
  return out;
}

Trainer::Trainer(nn::Model model, const OptimizerOptions& options, double temperature)
    : model_(std::move(model)), adam_(*model_.encoder, options), temperature_(temperature) {}

StepReport Trainer::step(const data::Batch& batch, double learning_rate) {
  nn::Encoder& encoder = *model_.encoder;
  encoder.set_training(true);
  const Variable embeddings = encoder.forward(Variable(concatenate(batch.clean, batch.distorted)));
  const NtXentResult result = nt_xent(embeddings, temperature_);
  StepReport report{.loss = result.loss.value().item(), .top1 = result.top1, .grad_norm = 0};
  if (!std::isfinite(report.loss)) {
    return report;
  }
  result.loss.backward();
  report.grad_norm = adam_.step(learning_rate);
  encoder.weights_changed();
  return report;
}

}  // namespace earmark::train
