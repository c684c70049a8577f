#include "kernels/lamb.h"

#include <cmath>

#include "kernels/dispatch.h"

namespace earmark::kernels {

LambSchedule lamb_schedule_of(const AdamOptions& o) {
  const auto step = static_cast<double>(o.step);
  return {.learning_rate = o.learning_rate,
          .mean_correction = 1 / (1 - std::pow(o.beta1, step)),
          .root_correction = 1 / std::sqrt(1 - std::pow(o.beta2, step))};
}

void set_lamb_schedule(const AdamOptions& options, const Tensor& schedule) {
  check_step("lamb", {}, options);
  check_schedule("lamb", schedule);
  run_on<cpu::set_lamb_schedule, cuda::set_lamb_schedule>(schedule.device(), lamb_schedule_of(options), schedule);
}

void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& options) {
  check_step("lamb", layers, options);
  if (!layers.empty()) {
    run_on<cpu::lamb_step, cuda::lamb_step>(layers.front().value.device(), layers, options);
  }
}

}  // namespace earmark::kernels
