// Two passes over the layers, piece by piece: moments and the squares of values and updates, then, the ratios known,
// the values. The update is computed anew in the second: it would cost as much to keep.
#include "kernels/lamb.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "kernels/cpu/parameter_chunks.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kUpdateBlock = 1024;  // elements whose update is in L1

/// Sums of squares of a piece.
struct Squares {
  double value = 0;
  double update = 0;
};

/// u of `count` elements.
template <class T>
void updates(const T* value, const T* moment1, const T* moment2, std::int64_t count, const LambCoefficients<T>& c,
             T* u) {
  for (std::int64_t i = 0; i < count; ++i) {
    u[i] = c.mean_correction * moment1[i] / (std::sqrt(moment2[i]) * c.root_correction + c.epsilon) +
           c.weight_decay * value[i];
  }
}

template <class T>
Squares move_moments(const AdamParameter& p, const Chunk& chunk, const LambCoefficients<T>& c) {
  Squares squares;
  std::array<T, kUpdateBlock> u;
  for (std::int64_t begin = chunk.begin; begin < chunk.end; begin += kUpdateBlock) {
    const std::int64_t count = std::min(kUpdateBlock, chunk.end - begin);
    const T* __restrict grad = p.grad.data<T>() + begin;
    const T* value = p.value.data<T>() + begin;
    T* __restrict moment1 = p.moment1.mutable_data<T>() + begin;
    T* __restrict moment2 = p.moment2.mutable_data<T>() + begin;
    for (std::int64_t i = 0; i < count; ++i) {
      const T g = grad[i] * c.gradient_scale;
      moment1[i] = c.beta1 * moment1[i] + c.one_minus_beta1 * g;
      moment2[i] = c.beta2 * moment2[i] + c.one_minus_beta2 * g * g;
    }
    updates(value, moment1, moment2, count, c, u.data());
    squares.value += square_sum(value, count);
    squares.update += square_sum(u.data(), count);
  }
  return squares;
}

template <class T>
void move_values(const AdamParameter& p, const Chunk& chunk, const LambCoefficients<T>& c, double ratio) {
  const auto step = static_cast<T>(c.learning_rate * ratio);
  std::array<T, kUpdateBlock> u;
  for (std::int64_t begin = chunk.begin; begin < chunk.end; begin += kUpdateBlock) {
    const std::int64_t count = std::min(kUpdateBlock, chunk.end - begin);
    T* value = p.value.mutable_data<T>() + begin;
    updates(value, p.moment1.data<T>() + begin, p.moment2.data<T>() + begin, count, c, u.data());
    for (std::int64_t i = 0; i < count; ++i) {
      value[i] -= step * u[static_cast<std::size_t>(i)];
    }
  }
}

/// Each layer's ratio from the squares of its chunks.
std::vector<double> ratios_of(std::size_t layers, const std::vector<Chunk>& chunks, const std::vector<Squares>& parts) {
  std::vector<Squares> squares(layers);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    squares[chunks[i].tensor].value += parts[i].value;
    squares[chunks[i].tensor].update += parts[i].update;
  }
  std::vector<double> ratios(layers);
  std::transform(squares.begin(), squares.end(), ratios.begin(), [](const Squares& s) {
    return s.value == 0 || s.update == 0 ? 1 : std::sqrt(s.value) / std::sqrt(s.update);
  });
  return ratios;
}

}  // namespace

void set_lamb_schedule(const LambSchedule& values, const Tensor& schedule) {
  double* out = schedule.mutable_data<double>();
  out[0] = values.learning_rate;
  out[1] = values.mean_correction;
  out[2] = values.root_correction;
}

void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& given) {
  const std::optional<AdamOptions> options = through_gate(given);
  if (!options) {
    return;
  }
  const double* told = given.schedule ? given.schedule.data<double>() : nullptr;
  const LambSchedule schedule = told == nullptr ? lamb_schedule_of(*options) : LambSchedule{told[0], told[1], told[2]};
  const LambCoefficients<float> single(*options, schedule);
  const LambCoefficients<double> twice(*options, schedule);
  const std::vector<Chunk> chunks = chunks_of(layers);
  std::vector<Squares> parts(chunks.size());
  for_each_chunk(layers, chunks, single, twice,
                 [&](std::size_t i, const AdamParameter& p, const Chunk& chunk, const auto& coefficients) {
                   parts[i] = move_moments(p, chunk, coefficients);
                 });
  const std::vector<double> ratios = ratios_of(layers.size(), chunks, parts);
  for_each_chunk(layers, chunks, single, twice,
                 [&](std::size_t /*i*/, const AdamParameter& p, const Chunk& chunk, const auto& coefficients) {
                   move_values(p, chunk, coefficients, ratios[chunk.tensor]);
                 });
}

}  // namespace earmark::kernels::cpu
