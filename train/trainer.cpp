#include "train/trainer.h"

#include <array>
#include <cmath>
#include <vector>

#include "autograd/layer_range.h"
#include "kernels/error.h"
#include "kernels/trace.h"
#include "train/data_parallel.h"
#include "train/recorded_step.h"

namespace earmark::train {

bool StepReport::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

Tensor concatenate(const Tensor& a, const Tensor& b, Device device) {
  check(a.shape() == b.shape().with_leading(a.dim(0)), "concatenate: ", a.shape(), " and ", b.shape());
  const Tensor out(a.shape().with_leading(a.dim(0) + b.dim(0)), a.dtype(), device);
  out.slice(0, a.dim(0)).copy_from(a);
  out.slice(a.dim(0), a.dim(0) + b.dim(0)).copy_from(b);
  return out;
}

Trainer::Trainer(nn::Model model, const OptimizerOptions& options, double temperature, bool cuda_graph)
    : recorded_(cuda_graph && model.encoder->device().backend == Backend::cuda
                    ? std::make_unique<RecordedStep>(model.encoder->device())
                    : nullptr),
      model_(std::move(model)),
      adam_(*model_.encoder, options),
      temperature_(temperature) {}

Trainer::~Trainer() = default;

void Trainer::join(const std::shared_ptr<Communicator>& ranks, bool sync_batch_norm) {
  if (ranks->size() == 1) {
    return;
  }
  parallel_ = std::make_unique<DataParallel>(ranks, *model_.encoder, sync_batch_norm);
  model_.encoder->weights_changed();
  nn::SafetensorsFile state = adam_.state();
  for (auto& [name, moment] : state.tensors) {
    moment = moment.clone();
    ranks->broadcast(moment, 0);
  }
  std::array<double, 1> steps{static_cast<double>(adam_.steps_done())};
  take_over(*ranks, steps, 0);
  state.metadata["steps_done"] = std::to_string(static_cast<std::int64_t>(steps[0]));
  adam_.load_state(state, "rank 0");
}

void Trainer::begin_step(const data::Batch& batch, double learning_rate) {
  try {
    queue_step(batch, learning_rate);
  } catch (...) {  // what backward left must not count for the next step
    adam_.forget_gradients();
    throw;
  }
}

void Trainer::queue_step(const data::Batch& batch, double learning_rate) {
  const TraceRange range("train step");
  nn::Encoder& encoder = *model_.encoder;
  encoder.set_training(true);
  adam_.begin_step(learning_rate);
  const auto compute_on = [this](const Tensor& views) { return compute(views); };
  const StepLosses losses = recorded_ ? recorded_->run(batch.clean, batch.distorted, compute_on)
                                      : compute(concatenate(batch.clean, batch.distorted, encoder.device()));
  adam_.end_step();
  encoder.weights_changed();
  reports_.push(std::array{losses.loss, losses.top1, adam_.norm()});
}

StepLosses Trainer::compute(const Tensor& views) {
  const RankStatisticsScope statistics(parallel_ ? parallel_->statistics() : nullptr);
  if (parallel_) {
    parallel_->begin_step();
  }
  const NtXentResult result = [&] {
    const TraceRange forward("forward");
    const Variable embeddings = model_.encoder->forward(Variable(views));
    const LayerRange loss("loss");
    return parallel_ ? parallel_->loss(embeddings, temperature_) : nt_xent(embeddings, temperature_);
  }();
  {
    const TraceRange backward("backward");
    result.loss.backward();
  }
  if (parallel_) {
    parallel_->finish_step(result);
  }
  adam_.update(result.loss.value());
  return {result.loss.value(), result.top1};
}

StepReport Trainer::finish_step() {
  std::vector<double> numbers;
  const auto take = [&] { numbers = reports_.take(); };
  parallel_ ? parallel_->wait(take) : take();
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
