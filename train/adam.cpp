#include "train/adam.h"

#include <charconv>

#include "kernels/error.h"
#include "kernels/lamb.h"
#include "kernels/trace.h"

namespace earmark::train {

Adam::Adam(const nn::Encoder& encoder, const OptimizerOptions& options)
    : parameters_(encoder.parameters()),
      gate_(kernels::open_gate(encoder.device())),
      schedule_({3}, DType::f64, encoder.device()),
      options_(options) {
  for (const nn::NamedParameter& parameter : parameters_) {
    moment1_.push_back(zeros_like(parameter.variable.value()));
    moment2_.push_back(zeros_like(parameter.variable.value()));
  }
}

kernels::AdamOptions Adam::kernel_options() const {
  return {.step = steps_done_ + 1,
          .beta1 = options_.beta1,
          .beta2 = options_.beta2,
          .epsilon = options_.epsilon,
          .weight_decay = options_.weight_decay,
          .schedule = schedule_,
          .gate = gate_};
}

void Adam::begin_step(double learning_rate) {
  check(!cut_off_, "the optimiser failed in the middle of its last update: go on from a checkpoint");
  kernels::AdamOptions options = kernel_options();
  options.learning_rate = learning_rate;
  if (options_.kind == OptimizerKind::lamb) {
    kernels::set_lamb_schedule(options, schedule_);
  } else {
    kernels::set_schedule(options, schedule_);
  }
}

void Adam::update(const Tensor& loss) {
  const TraceRange range("optimizer");
  std::vector<Tensor> gradients;
  for (const nn::NamedParameter& parameter : parameters_) {
    gradients.push_back(parameter.variable.grad());
  }
  kernels::update_gate({gradients, loss, options_.clip_norm, gate_});
  cut_off_ = true;  // until all parameters are on their way
  move_parameters();
  cut_off_ = false;
  forget_gradients();
}

void Adam::move_parameters() const {
  const bool by_layer = options_.kind == OptimizerKind::lamb;
  std::vector<kernels::AdamParameter> updates;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Variable& variable = parameters_[i].variable;
    const kernels::AdamParameter whole{variable.value(), variable.grad(), moment1_[i], moment2_[i]};
    const std::int64_t layers = by_layer ? parameters_[i].layers : 1;
    if (layers == 1 || !whole.grad) {
      updates.push_back(whole);
      continue;
    }
    const std::int64_t rows = whole.value.dim(0) / layers;
    for (std::int64_t row = 0; row < whole.value.dim(0); row += rows) {
      const auto part = [&](const Tensor& t) { return t.slice(row, row + rows); };
      updates.push_back({part(whole.value), part(whole.grad), part(whole.moment1), part(whole.moment2)});
    }
  }
  if (by_layer) {
    kernels::lamb_step(updates, kernel_options());
  } else {
    kernels::adam_step(updates, kernel_options());
  }
}

const char* Adam::format() const { return options_.kind == OptimizerKind::lamb ? "earmark-lamb" : "earmark-adam"; }

void Adam::forget_gradients() {
  for (nn::NamedParameter& parameter : parameters_) {
    parameter.variable.zero_grad();
  }
}

void Adam::step(double learning_rate, const Tensor& loss) {
  begin_step(learning_rate);
  update(loss);
  end_step();
}

nn::SafetensorsFile Adam::state() const {
  nn::SafetensorsFile file;
  file.metadata = {{"format", format()}, {"steps_done", std::to_string(steps_done_)}};
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    file.tensors.emplace_back(parameters_[i].name + ".moment1", moment1_[i].to(Device{}));
    file.tensors.emplace_back(parameters_[i].name + ".moment2", moment2_[i].to(Device{}));
  }
  return file;
}

void Adam::load_state(const nn::SafetensorsFile& state, const std::string& origin) {
  const auto steps = state.metadata.find("steps_done");
  check(steps != state.metadata.end(), origin, ": not the state of an optimiser");
  const auto kind = state.metadata.find("format");
  const std::string found = kind == state.metadata.end() ? "no optimiser" : kind->second;
  check(found == format(), origin, ": the state of ", found, ", expected that of ", format());
  const std::string& text = steps->second;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), steps_done_);
  check(parsed.ec == std::errc() && steps_done_ >= 0, origin, ": steps_done is \"", text, "\"");
  const auto load = [&](const std::string& name, const Tensor& target) {
    check(state.contains(name), origin, ": tensor ", name, " is missing");
    const Tensor& source = state.at(name);
    check(source.shape() == target.shape() && source.dtype() == target.dtype(), origin, ": tensor ", name,
          " has shape ", source.shape(), ", expected ", target.shape());
    target.copy_from(source);
  };
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    load(parameters_[i].name + ".moment1", moment1_[i]);
    load(parameters_[i].name + ".moment2", moment2_[i]);
  }
  cut_off_ = false;
}

}  // namespace earmark::train
