#include "train/trainer.h"

#include <array>
#include <cmath>
#include <vector>

#include "autograd/layer_range.h"
#include "kernels/error.h"
#include "kernels/trace.h"
#include "train/data_parallel.h"
#include "train/gradient_cache.h"
#include "train/recorded_step.h"

namespace earmark::train {

bool StepReport::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

Tensor concatenate(const Tensor& a, const Tensor& b, Device device, std::int64_t groups) {
  check(a.shape() == b.shape().with_leading(a.dim(0)), "concatenate: ", a.shape(), " and ", b.shape());
  check(a.dim(0) % groups == 0 && b.dim(0) % groups == 0, "concatenate: ", groups, " groups of ", a.shape(), " and ",
        b.shape());
  const Tensor out(a.shape().with_leading(a.dim(0) + b.dim(0)), a.dtype(), device);
  std::int64_t row = 0;
  for (std::int64_t group = 0; group < groups; ++group) {
    for (const Tensor& from : {a, b}) {
      const std::int64_t rows = from.dim(0) / groups;
      out.slice(row, row + rows).copy_from(from.slice(group * rows, (group + 1) * rows));
      row += rows;
    }
  }
  return out;
}

Trainer::Trainer(nn::Model model, const OptimizerOptions& options, double temperature, const StepOptions& step)
    : recorded_(step.cuda_graph && model.encoder->device().backend == Backend::cuda
                    ? std::make_unique<RecordedStep>(model.encoder->device())
                    : nullptr),
      model_(std::move(model)),
      adam_(*model_.encoder, options),
      temperature_(temperature),
      micro_batch_(step.micro_batch),
      groups_(step.reduction_groups, 1) {
  check(!groups_.on() || model_.encoder->device().backend == Backend::cpu, "train.reduction_groups is ",
        step.reduction_groups,
        ": the same bits for any number of processes are the CPU's alone, since a GPU's libraries ",
        "choose how to add up by how much there is; set it to 1 for ", model_.encoder->device(),
        ", or train with --device cpu");
  check(!groups_.on() || model_.encoder->activation_type() != DType::bf16, "train.reduction_groups is ",
        step.reduction_groups, ": it goes with precision fp32, since bf16 rounds the gradients of each process' share");
  check(!groups_.on() || micro_batch_ == 0, "train.reduction_groups is ", step.reduction_groups,
        ": it goes without train.micro_batch, whose parts are added up one after the other");
}

Trainer::~Trainer() {
  if (recorded_) {
    recorded_->forget();
  }
}

void Trainer::join(const std::shared_ptr<Communicator>& ranks, bool sync_batch_norm, bool shard_optimizer) {
  if (ranks->size() == 1) {
    return;
  }
  groups_ = ReductionGroups(groups_.all(), ranks->size());
  parallel_ = std::make_unique<DataParallel>(ranks, *model_.encoder, sync_batch_norm, groups_);
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
  if (shard_optimizer) {
    adam_.divide_among(ranks);
  }
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
  if (recorded_ && parallel_) {
    parallel_->begin_replay();
  }
  const auto compute_on = [this](const Tensor& views) { return compute(views); };
  const StepLosses losses = recorded_
                                ? recorded_->run(batch.clean, batch.distorted, compute_on)
                                : compute(concatenate(batch.clean, batch.distorted, encoder.device(), groups_.own()));
  adam_.end_step();
  encoder.weights_changed();
  reports_.push(std::array{losses.loss, losses.top1, adam_.norm()});
}

StepLosses Trainer::compute(const Tensor& views) {
  const RankStatisticsScope statistics(parallel_ ? parallel_->statistics() : nullptr);
  const ReductionGroupsScope groups(groups_);
  if (parallel_) {
    parallel_->begin_step();
  }
  const NtXentResult result = forward_and_backward(views);
  if (parallel_) {
    parallel_->finish_step(result);
  }
  adam_.update(result.loss.value());
  return {result.loss.value(), result.top1};
}

NtXentResult Trainer::loss(const Variable& embeddings) const {
  const LayerRange range("loss");
  return parallel_ ? parallel_->loss(embeddings, temperature_) : nt_xent(embeddings, temperature_);
}

NtXentResult Trainer::forward_and_backward(const Tensor& views) {
  const auto forward = [this](const Tensor& part) { return model_.encoder->forward(Variable(part)); };
  const auto set_partial = [this](bool partial) {
    if (parallel_) {
      parallel_->set_partial(partial);
    }
  };
  if (micro_batch_ != 0 && 2 * micro_batch_ != views.dim(0)) {
    set_partial(true);
    return cached_backward(views, {.micro_batch = micro_batch_,
                                   .forward = forward,
                                   .loss = [this](const Variable& embeddings) { return loss(embeddings); },
                                   .before_last = [&] { set_partial(false); }});
  }
  const NtXentResult result = [&] {
    const TraceRange range("forward");
    return loss(forward(views));
  }();
  const TraceRange range("backward");
  result.loss.backward();
  return result;
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
