#include "kernels/optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/elementwise.h"

namespace earmark::kernels {
namespace {

void check_moment(std::string_view step, const char* name, const Tensor& t, const Tensor& value) {
  check(t.shape() == value.shape() && t.dtype() == value.dtype() && t.device() == value.device(), step,
        ": the parameter is ", name_of(value.dtype()), value.shape(), ", its ", name, " ", name_of(t.dtype()),
        t.shape());
}

}  // namespace

void check_schedule(std::string_view step, const Tensor& schedule) {
  check(schedule && schedule.dtype() == DType::f64 && schedule.numel() == 3, step,
        ": expected a schedule (3) f64, got ", schedule.shape());
}

void check_step(std::string_view step, std::span<const AdamParameter> parameters, const AdamOptions& o) {
  check(o.step >= 1, step, ": steps count from 1, got ", o.step);
  check(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1, step, ": expected betas in [0, 1), got ", o.beta1,
        " and ", o.beta2);
  check(o.epsilon > 0, step, ": epsilon must be positive, got ", o.epsilon);
  for (const AdamParameter& p : parameters) {
    check_moment(step, "first moment", p.moment1, p.value);
    check_moment(step, "second moment", p.moment2, p.value);
    if (p.grad) {
      check_moment(step, "gradient", p.grad, p.value);
    }
  }
  check(!o.gate || (o.gate.dtype() == DType::f64 && o.gate.numel() == 2), step, ": gate of shape ", o.gate.shape());
  if (o.schedule) {
    check_schedule(step, o.schedule);
  }
}

AdamSchedule schedule_of(const AdamOptions& o) {
  const auto step = static_cast<double>(o.step);
  return {.keep = 1 - o.learning_rate * o.weight_decay,
          .step_size = o.learning_rate / (1 - std::pow(o.beta1, step)),
          .root_correction = 1 / std::sqrt(1 - std::pow(o.beta2, step))};
}

void set_schedule(const AdamOptions& options, const Tensor& schedule) {
  check_step("adam", {}, options);
  check_schedule("adam", schedule);
  run_on<cpu::set_schedule, cuda::set_schedule>(schedule.device(), schedule_of(options), schedule);
}

void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& options) {
  check_step("adam", parameters, options);
  if (!parameters.empty()) {
    run_on<cpu::adam_step, cuda::adam_step>(parameters.front().value.device(), parameters, options);
  }
}

double grad_norm(std::span<const Tensor> gradients) {
  const auto first = std::ranges::find_if(gradients, [](const Tensor& g) { return static_cast<bool>(g); });
  if (first == gradients.end()) {
    return 0;
  }
  return std::sqrt(run_on<cpu::grad_square_sum, cuda::grad_square_sum>(first->device(), gradients));
}

void update_gate(const UpdateGate& args) {
  check(args.gate && args.gate.dtype() == DType::f64 && args.gate.numel() == 2 && args.loss.numel() == 1 &&
            args.loss.device() == args.gate.device(),
        "update gate: expected (2) f64 and a loss beside it, got ", args.gate.shape(), " and ", args.loss.shape());
  check(args.maximum >= 0, "gradient clipping: the norm must be positive, got ", args.maximum);
  run_on<cpu::update_gate, cuda::update_gate>(args.gate.device(), args);
}

Tensor open_gate(Device device) { return Tensor::from<double>({2}, std::array<double, 2>{0, 1}, device); }

double clip_factor(double norm, double maximum) {
  check(maximum > 0, "gradient clipping: the norm must be positive, got ", maximum);
  const double factor = maximum / (norm + 1e-6);
  return factor >= 1 ? 1.0 : factor;  // a NaN norm gives NaN: nobody must train on from there unnoticed
}

double clip_grad_norm(std::span<const Tensor> gradients, double maximum) {
  const double norm = grad_norm(gradients);
  const double factor = clip_factor(norm, maximum);
  if (factor != 1) {
    for (const Tensor& g : gradients) {
      if (g) {
        scale(g, factor, g);
      }
    }
  }
  return norm;
}

}  // namespace earmark::kernels
