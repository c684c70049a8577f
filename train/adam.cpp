#include "train/adam.h"

#include <charconv>
#include <utility>

#include "kernels/error.h"
#include "kernels/lamb.h"
#include "kernels/trace.h"

namespace earmark::train {

namespace {

/// Where Adam's parameters are cut: vectors and cache lines stay whole, and kernels round each element as ever.
constexpr std::int64_t kGrain = 64;

}  // namespace

Adam::Adam(const nn::Encoder& encoder, const OptimizerOptions& options)
    : parameters_(encoder.parameters()),
      gate_(kernels::open_gate(encoder.device())),
      schedule_({3}, DType::f64, encoder.device()),
      options_(options) {
  shares_ = share_out(cuttable(), 1);
  own_ = shares_.front();
  for (const ParameterPiece& piece : own_) {
    moment1_.push_back(zeros_like(piece_of(parameters_[piece.parameter].variable.value(), piece)));
    moment2_.push_back(zeros_like(moment1_.back()));
  }
}

std::vector<SharedParameter> Adam::cuttable() const {
  std::vector<SharedParameter> all;
  for (const nn::NamedParameter& parameter : parameters_) {
    const std::int64_t elements = parameter.variable.value().numel();
    all.push_back({elements, options_.kind == OptimizerKind::lamb ? elements / parameter.layers : kGrain});
  }
  return all;
}

void Adam::divide_among(std::shared_ptr<Communicator> ranks) {
  check(!divided(), "the optimiser's state is divided already");
  for (const nn::NamedParameter& parameter : parameters_) {
    check(parameter.variable.value().dtype() == parameters_.front().variable.value().dtype(), "parameter ",
          parameter.name, " has another type than the first: their optimiser cannot be divided");
  }
  ranks_ = std::move(ranks);
  shares_ = share_out(cuttable(), ranks_->size());
  own_ = shares_[static_cast<std::size_t>(ranks_->rank())];
  const auto kept = [this](const std::vector<Tensor>& whole) {
    std::vector<Tensor> pieces;
    for (const ParameterPiece& piece : own_) {
      pieces.push_back(piece_of(whole[piece.parameter], piece).clone());
    }
    return pieces;
  };
  moment1_ = kept(moment1_);
  moment2_ = kept(moment2_);
}

std::size_t Adam::bytes() const {
  std::size_t total = 0;
  for (std::size_t i = 0; i < own_.size(); ++i) {
    total += moment1_[i].bytes() + moment2_[i].bytes();
  }
  return total;
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
  if (divided()) {
    exchange_parameters();
  }
  cut_off_ = false;
  forget_gradients();
}

void Adam::move_parameters() const {
  const bool by_layer = options_.kind == OptimizerKind::lamb;
  std::vector<kernels::AdamParameter> updates;
  for (std::size_t i = 0; i < own_.size(); ++i) {
    const nn::NamedParameter& parameter = parameters_[own_[i].parameter];
    const Variable& variable = parameter.variable;
    if (!variable.grad()) {
      continue;
    }
    const Tensor value = piece_of(variable.value(), own_[i]);
    const Tensor grad = piece_of(variable.grad(), own_[i]);
    const std::int64_t size = by_layer ? variable.value().numel() / parameter.layers : value.numel();
    for (std::int64_t begin = 0; begin < value.numel(); begin += size) {
      const auto part = [&](const Tensor& t) { return t.slice(begin, begin + size); };
      updates.push_back({part(value), part(grad), part(moment1_[i]), part(moment2_[i])});
    }
  }
  if (by_layer) {
    kernels::lamb_step(updates, kernel_options());
  } else {
    kernels::adam_step(updates, kernel_options());
  }
}

void Adam::exchange_parameters() const {
  const TraceRange range("ranks");
  const Tensor& first = parameters_.front().variable.value();
  exchange_shares(*ranks_, shares_, first.dtype(), first.device(), [this](int rank, std::size_t i) {
    const ParameterPiece& piece = shares_[static_cast<std::size_t>(rank)][i];
    return piece_of(parameters_[piece.parameter].variable.value(), piece);
  });
}

std::vector<Tensor> Adam::whole(const std::vector<Tensor>& moments) const {
  std::vector<Tensor> all;
  if (!divided()) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      all.push_back(moments[i].to(Device{}).reshape(parameters_[i].variable.shape()));
    }
    return all;
  }
  const Tensor& first = parameters_.front().variable.value();
  if (ranks_->rank() == 0) {
    for (const nn::NamedParameter& parameter : parameters_) {
      all.emplace_back(parameter.variable.shape(), first.dtype());
    }
    for (std::size_t i = 0; i < own_.size(); ++i) {
      piece_of(all[own_[i].parameter], own_[i]).copy_from(moments[i]);
    }
  }
  exchange_shares(*ranks_, shares_, first.dtype(), first.device(), [&](int rank, std::size_t i) {
    const ParameterPiece& piece = shares_[static_cast<std::size_t>(rank)][i];
    return rank == ranks_->rank() ? moments[i] : all.empty() ? Tensor() : piece_of(all[piece.parameter], piece);
  });
  return all;
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
  std::vector<Tensor> first;
  std::vector<Tensor> second;
  const auto gather = [&] {
    first = whole(moment1_);
    second = whole(moment2_);
  };
  divided() ? ranks_->wait(gather) : gather();  // copies to the host wait for what other GPUs send
  for (std::size_t i = 0; i < first.size(); ++i) {
    file.tensors.emplace_back(parameters_[i].name + ".moment1", first[i]);
    file.tensors.emplace_back(parameters_[i].name + ".moment2", second[i]);
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
  for (const nn::NamedParameter& parameter : parameters_) {
    const Tensor& target = parameter.variable.value();
    for (const char* moment : {".moment1", ".moment2"}) {
      const std::string name = parameter.name + moment;
      check(state.contains(name), origin, ": tensor ", name, " is missing");
      const Tensor& source = state.at(name);
      check(source.shape() == target.shape() && source.dtype() == target.dtype(), origin, ": tensor ", name,
            " has shape ", source.shape(), ", expected ", target.shape());
    }
  }
  for (std::size_t i = 0; i < own_.size(); ++i) {
    const std::string& name = parameters_[own_[i].parameter].name;
    moment1_[i].copy_from(piece_of(state.at(name + ".moment1"), own_[i]));
    moment2_[i].copy_from(piece_of(state.at(name + ".moment2"), own_[i]));
  }
  cut_off_ = false;
}

}  // namespace earmark::train
