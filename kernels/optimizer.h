// Adam (Kingma & Ba, ICLR 2015) with decoupled weight decay (Loshchilov & Hutter, ICLR 2019), over all parameters in
// one pass, and clipping by the global norm. Bit-identical for any thread count. f32 and f64.
#pragma once

#include <span>
#include <string_view>

#include "kernels/tensor.h"

namespace earmark::kernels {

/// One parameter and its moments; four tensors of one shape, type and device.
struct AdamParameter {
  Tensor value;    // updated
  Tensor grad;     // read; empty: this parameter got no gradient and is left alone
  Tensor moment1;  // updated: running mean of the gradient, zero at first
  Tensor moment2;  // updated: running mean of its square, zero at first
};

struct AdamOptions {
  std::int64_t step = 1;  ///< 1 at the first update: corrects the moments' bias.
  double learning_rate = 1e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;    ///< value -= learning_rate * weight_decay * value, beside the gradient's step.
  double gradient_scale = 1;  ///< Every gradient is read times this: clip_factor() goes here.
  Tensor schedule{};          ///< Where given, what set_schedule() wrote says what depends on step and learning rate.
  Tensor gate{};              ///< Where given, this says it instead, on the parameters' device (update_gate).
};

/// What changes from step to step, as numbers that the inner loop multiplies with.
struct AdamSchedule {
  double keep = 1;
  double step_size = 0;
  double root_correction = 1;
};
AdamSchedule schedule_of(const AdamOptions& options);

/// The options as the inner loop uses them.
template <class T>
struct AdamCoefficients {
  T beta1, one_minus_beta1, beta2, one_minus_beta2, keep, step_size, root_correction, epsilon, gradient_scale;

  AdamCoefficients(const AdamOptions& o, const AdamSchedule& s)
      : beta1(static_cast<T>(o.beta1)),
        one_minus_beta1(static_cast<T>(1 - o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        one_minus_beta2(static_cast<T>(1 - o.beta2)),
        keep(static_cast<T>(s.keep)),
        step_size(static_cast<T>(s.step_size)),
        root_correction(static_cast<T>(s.root_correction)),
        epsilon(static_cast<T>(o.epsilon)),
        gradient_scale(static_cast<T>(o.gradient_scale)) {}
};

/// Throw Error, naming `step`, on arguments that adam_step() or lamb_step() cannot work with.
void check_step(std::string_view step, std::span<const AdamParameter> parameters, const AdamOptions& options);
void check_schedule(std::string_view step, const Tensor& schedule);

/// Writes AdamSchedule's numbers for these options to `schedule` (3) f64, by queued work: a step that is recorded in a
/// CUDA graph reads them from there, as what it was called with is fixed.
void set_schedule(const AdamOptions& options, const Tensor& schedule);

/// value -= learning_rate * m^ / (sqrt(v^) + epsilon), as torch.optim.Adam / AdamW do.
void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& options);

/// Euclidean norm of all gradients together, summed in double. NaN or infinity in any of them comes through. Empty
/// tensors count as zero.
double grad_norm(std::span<const Tensor> gradients);
/// What gradients of norm `norm` are multiplied by so that it becomes at most `maximum`: 1 where it is already (as
/// torch.nn.utils.clip_grad_norm_, with its 1e-6).
double clip_factor(double norm, double maximum);
/// Decides about an update where the gradients are, so that the host need not wait for their norm: gate (2) f64 becomes
/// that norm and what they are to be multiplied with, clip_factor() or, where `maximum` is 0, 1. Where the norm or
/// `loss`
/// () is not finite that is NaN, for this step and all that follow: adam_step() then changes nothing. Start from
/// open_gate().
struct UpdateGate {
  std::span<const Tensor> gradients;
  Tensor loss;
  double maximum = 0;
  Tensor gate;
};
void update_gate(const UpdateGate& args);
Tensor open_gate(Device device);

/// Scales all gradients in place so that their norm is at most `maximum`; returns the norm before.
double clip_grad_norm(std::span<const Tensor> gradients, double maximum);

namespace cpu {
void set_schedule(const AdamSchedule& values, const Tensor& schedule);
void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& options);
double grad_square_sum(std::span<const Tensor> gradients);
void update_gate(const UpdateGate& args);
}  // namespace cpu
namespace cuda {
void set_schedule(const AdamSchedule& values, const Tensor& schedule);
void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& options);
double grad_square_sum(std::span<const Tensor> gradients);
void update_gate(const UpdateGate& args);
}  // namespace cuda

}  // namespace earmark::kernels
