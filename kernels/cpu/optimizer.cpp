#include "kernels/optimizer.h"

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/cpu/parameter_chunks.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

template <class T>
void update(const AdamParameter& p, const Chunk& chunk, const AdamCoefficients<T>& c) {
  const T* __restrict grad = p.grad.data<T>();
  T* __restrict value = p.value.mutable_data<T>();
  T* __restrict moment1 = p.moment1.mutable_data<T>();
  T* __restrict moment2 = p.moment2.mutable_data<T>();
  for (std::int64_t i = chunk.begin; i < chunk.end; ++i) {
    const T g = grad[i] * c.gradient_scale;
    const T m = c.beta1 * moment1[i] + c.one_minus_beta1 * g;
    const T v = c.beta2 * moment2[i] + c.one_minus_beta2 * g * g;
    moment1[i] = m;
    moment2[i] = v;
    value[i] = c.keep * value[i] - c.step_size * m / (std::sqrt(v) * c.root_correction + c.epsilon);
  }
}

}  // namespace

void set_schedule(const AdamSchedule& values, const Tensor& schedule) {
  double* out = schedule.mutable_data<double>();
  out[0] = values.keep;
  out[1] = values.step_size;
  out[2] = values.root_correction;
}

void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& given) {
  const std::optional<AdamOptions> options = through_gate(given);
  if (!options) {
    return;
  }
  const double* told = given.schedule ? given.schedule.data<double>() : nullptr;
  const AdamSchedule schedule = told == nullptr ? schedule_of(*options) : AdamSchedule{told[0], told[1], told[2]};
  const AdamCoefficients<float> single(*options, schedule);
  const AdamCoefficients<double> twice(*options, schedule);
  for_each_chunk(parameters, chunks_of(parameters), single, twice,
                 [](std::size_t /*i*/, const AdamParameter& p, const Chunk& chunk, const auto& coefficients) {
                   update(p, chunk, coefficients);
                 });
}

double grad_square_sum(std::span<const Tensor> gradients) {
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i]) {
      add_chunks(i, gradients[i].numel(), chunks);
    }
  }
  std::vector<double> parts(chunks.size());
  parallel_for(static_cast<std::int64_t>(chunks.size()), [&](std::int64_t task) {
    const Chunk& chunk = chunks[static_cast<std::size_t>(task)];
    parts[static_cast<std::size_t>(task)] = dispatch_float(gradients[chunk.tensor].dtype(), [&]<class T>() {
      return square_sum(gradients[chunk.tensor].data<T>() + chunk.begin, chunk.end - chunk.begin);
    });
  });
  double total = 0;
  for (const double part : parts) {
    total += part;
  }
  return total;
}

void update_gate(const UpdateGate& args) {
  double* gate = args.gate.mutable_data<double>();
  gate[0] = std::sqrt(grad_square_sum(args.gradients));
  const bool open = std::isfinite(gate[0]) && std::isfinite(args.loss.item()) && !std::isnan(gate[1]);
  const double factor = args.maximum > 0 ? clip_factor(gate[0], args.maximum) : 1;
  gate[1] = open ? factor : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace earmark::kernels::cpu
