// LAMB (You et al., ICLR 2020, arXiv 1904.00962) as TensorFlow Addons and NAFP's authors compute it: Adam's step, its
// length made proportional to that of the layer's own values.
//   m, v as Adam's;  u = m^ / (sqrt(v^) + epsilon) + weight_decay * value
//   value -= learning_rate * ratio * u,  ratio = |value| / |u|, or 1 where either is 0
// Norms are summed in double. Bit-identical for any thread count. f32 and f64.
#pragma once

#include <span>

#include "kernels/optimizer.h"

namespace earmark::kernels {

/// What changes from step to step.
struct LambSchedule {
  double learning_rate = 0;
  double mean_correction = 1;  // m^ = m * this
  double root_correction = 1;  // sqrt(v^) = sqrt(v) * this
};
LambSchedule lamb_schedule_of(const AdamOptions& options);

/// The options as the inner loop uses them. The learning rate stays in double: it meets the ratio there.
template <class T>
struct LambCoefficients {
  T beta1, one_minus_beta1, beta2, one_minus_beta2, mean_correction, root_correction, epsilon, weight_decay,
      gradient_scale;
  double learning_rate;

  LambCoefficients(const AdamOptions& o, const LambSchedule& s)
      : beta1(static_cast<T>(o.beta1)),
        one_minus_beta1(static_cast<T>(1 - o.beta1)),
        beta2(static_cast<T>(o.beta2)),
        one_minus_beta2(static_cast<T>(1 - o.beta2)),
        mean_correction(static_cast<T>(s.mean_correction)),
        root_correction(static_cast<T>(s.root_correction)),
        epsilon(static_cast<T>(o.epsilon)),
        weight_decay(static_cast<T>(o.weight_decay)),
        gradient_scale(static_cast<T>(o.gradient_scale)),
        learning_rate(s.learning_rate) {}
};

/// Writes LambSchedule's numbers for these options to `schedule` (3) f64, as set_schedule() does Adam's.
void set_lamb_schedule(const AdamOptions& options, const Tensor& schedule);

/// One step. Each entry is a layer, with a ratio of its own. Options as for adam_step(), but that `schedule` is
/// set_lamb_schedule()'s and the weight decay part of the update whose length is scaled.
void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& options);

namespace cpu {
void set_lamb_schedule(const LambSchedule& values, const Tensor& schedule);
void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& options);
}  // namespace cpu
namespace cuda {
void set_lamb_schedule(const LambSchedule& values, const Tensor& schedule);
void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& options);
}  // namespace cuda

}  // namespace earmark::kernels
