// Three launches for a batch of layers (parameter_batch.cuh): moments, with the squares of values and updates summed in
// double by each block; a layer's ratio from the sums of its blocks, in their order; then the values, for which the
// update is computed anew.
// Floor on an H100 at 3.35 TB/s: 40 bytes a float parameter, as values, gradients and moments are read and moments
// written, then values and moments read and values written; 0.20 ms for the 16.9 million of NAFP's network. Some 30
// operations a parameter, four of them in double, take a tenth of that, and 85 % of the floor is to be expected.
#include <cmath>

#include "kernels/cuda/parameter_batch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/lamb.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = kParameterThreads;

/// What a step reads from memory, so that a recorded one is told anew each time: schedule (3), or null:
/// set_lamb_schedule()'s. gate (2), or null: an UpdateGate's.
struct Told {
  const double* schedule;
  const double* gate;
};

/// The coefficients as `told` has them. Their gradient scale is NaN behind a closed gate.
template <class T>
__device__ LambCoefficients<T> coefficients(LambCoefficients<T> c, const Told& told) {
  if (told.schedule != nullptr) {
    c.learning_rate = told.schedule[0];
    c.mean_correction = static_cast<T>(told.schedule[1]);
    c.root_correction = static_cast<T>(told.schedule[2]);
  }
  if (told.gate != nullptr) {
    c.gradient_scale = static_cast<T>(told.gate[1]);
  }
  return c;
}

template <class T>
__device__ __forceinline__ bool is_open(const LambCoefficients<T>& c) {
  return c.gradient_scale == c.gradient_scale;
}

template <class T>
__device__ __forceinline__ T update_of(const LambCoefficients<T>& c, T value, T moment1, T moment2) {
  return c.mean_correction * moment1 / (sqrt(moment2) * c.root_correction + c.epsilon) + c.weight_decay * value;
}

template <class T>
struct MoveMoments {
  const T* value;
  const T* grad;
  T* moment1;
  T* moment2;
  const LambCoefficients<T>& c;
  double& value_squares;
  double& update_squares;

  template <int N>
  __device__ __forceinline__ void operator()(std::int64_t group) const {
    const Vector<T, N> x = load_vector<N>(value, group);
    const Vector<T, N> gradient = load_vector<N>(grad, group);
    Vector<T, N> m = load_vector<N>(moment1, group);
    Vector<T, N> v = load_vector<N>(moment2, group);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T g = gradient[k] * c.gradient_scale;
      m[k] = c.beta1 * m[k] + c.one_minus_beta1 * g;
      v[k] = c.beta2 * v[k] + c.one_minus_beta2 * g * g;
      const auto u = static_cast<double>(update_of(c, x[k], m[k], v[k]));
      value_squares += static_cast<double>(x[k]) * static_cast<double>(x[k]);
      update_squares += u * u;
    }
    store_vector<N>(moment1, group, m);
    store_vector<N>(moment2, group, v);
  }
};

template <class T>
struct MoveValues {
  T* value;
  const T* moment1;
  const T* moment2;
  const LambCoefficients<T>& c;
  T step;

  template <int N>
  __device__ __forceinline__ void operator()(std::int64_t group) const {
    Vector<T, N> x = load_vector<N>(value, group);
    const Vector<T, N> m = load_vector<N>(moment1, group);
    const Vector<T, N> v = load_vector<N>(moment2, group);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      x[k] -= step * update_of(c, x[k], m[k], v[k]);
    }
    store_vector<N>(value, group, x);
  }
};

/// f for the block's own piece, 16 bytes at a time where the layer's arrays are aligned.
template <class T, class F>
__device__ __forceinline__ void for_own_groups(const ParameterBatch<T, 4>& batch, const ParameterPiece& piece,
                                               const F& f) {
  if (batch.wide[piece.tensor]) {
    for_groups<kVector<T>>(piece, f);
  } else {
    for_groups<1>(piece, f);
  }
}

/// Buffers: value, gradient, first moment, second moment. squares (2, blocks): of values and updates.
template <class T>
__global__ void __launch_bounds__(kThreads)
    moments_kernel(const ParameterBatch<T, 4> batch, const LambCoefficients<T> given, const Told told,
                   double* squares) {
  const LambCoefficients<T> c = coefficients(given, told);
  const ParameterPiece piece = own_piece(batch);
  const int i = piece.tensor;
  double of_values = 0;
  double of_updates = 0;
  if (is_open(c)) {
    for_own_groups(batch, piece,
                   MoveMoments<T>{batch.data[0][i], batch.data[1][i], batch.data[2][i], batch.data[3][i], c, of_values,
                                  of_updates});
  }
  of_values = block_sum<kThreads>(of_values);
  of_updates = block_sum<kThreads>(of_updates);
  if (threadIdx.x == 0) {
    squares[blockIdx.x] = of_values;
    squares[gridDim.x + blockIdx.x] = of_updates;
  }
}

/// A block for each layer: ratios (layers) from squares (2, pieces).
template <class T>
__global__ void __launch_bounds__(kThreads)
    ratio_kernel(const ParameterBatch<T, 4> batch, const double* squares, int pieces, double* ratios) {
  double of_values = 0;
  double of_updates = 0;
  for (int p = batch.first_block[blockIdx.x] + static_cast<int>(threadIdx.x); p < batch.first_block[blockIdx.x + 1];
       p += kThreads) {
    of_values += squares[p];
    of_updates += squares[pieces + p];
  }
  of_values = block_sum<kThreads>(of_values);
  of_updates = block_sum<kThreads>(of_updates);
  if (threadIdx.x == 0) {
    ratios[blockIdx.x] = of_values == 0 || of_updates == 0 ? 1 : sqrt(of_values) / sqrt(of_updates);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    values_kernel(const ParameterBatch<T, 4> batch, const LambCoefficients<T> given, const Told told,
                  const double* ratios) {
  const LambCoefficients<T> c = coefficients(given, told);
  if (!is_open(c)) {
    return;
  }
  const ParameterPiece piece = own_piece(batch);
  const int i = piece.tensor;
  const MoveValues<T> move{batch.data[0][i], batch.data[2][i], batch.data[3][i], c,
                           static_cast<T>(c.learning_rate * ratios[i])};
  constexpr int kWide = kVector<T>;
  std::int64_t single = piece.begin + threadIdx.x;
  if (batch.wide[i]) {
    // One by one: unrolled, doubles would not fit the registers.
#pragma unroll 1
    for (std::int64_t g = piece.begin / kWide + threadIdx.x; g < piece.end / kWide; g += kThreads) {
      move.template operator()<kWide>(g);
    }
    single = piece.end / kWide * kWide + threadIdx.x;
  }
#pragma unroll 1
  for (; single < piece.end; single += kThreads) {
    move.template operator()<1>(single);
  }
}

__global__ void schedule_kernel(LambSchedule values, double* schedule) {
  schedule[0] = values.learning_rate;
  schedule[1] = values.mean_correction;
  schedule[2] = values.root_correction;
}

template <class T>
void update_batch(const ParameterBatch<T, 4>& batch, const LambCoefficients<T>& c, const Told& told, Device device) {
  const int pieces = batch.blocks();
  const Tensor squares({2, pieces}, DType::f64, device);
  const Tensor ratios({batch.tensors}, DType::f64, device);
  launch(moments_kernel<T>, blocks(pieces, kThreads), batch, c, told, squares.mutable_data<double>());
  launch(ratio_kernel<T>, blocks(batch.tensors, kThreads), batch, squares.data<double>(), pieces,
         ratios.mutable_data<double>());
  launch(values_kernel<T>, blocks(pieces, kThreads), batch, c, told, ratios.data<double>());
}

template <class T>
void lamb_as(std::span<const AdamParameter> layers, const AdamOptions& options) {
  const LambCoefficients<T> coefficients(options, lamb_schedule_of(options));
  const Told told{options.schedule ? options.schedule.data<double>() : nullptr,
                  options.gate ? options.gate.data<double>() : nullptr};
  const Device device = layers.front().value.device();
  ParameterBatch<T, 4> batch;
  for (const AdamParameter& p : layers) {
    if (p.grad && p.value.dtype() == dtype_of<T> && p.value.numel() > 0) {
      batch.add({p.value, p.grad, p.moment1, p.moment2});
    }
    if (batch.full()) {
      update_batch(batch, coefficients, told, device);
      batch = {};
    }
  }
  if (batch.tensors > 0) {
    update_batch(batch, coefficients, told, device);
  }
}

}  // namespace

void set_lamb_schedule(const LambSchedule& values, const Tensor& schedule) {
  launch(schedule_kernel, blocks(1, 1), values, schedule.mutable_data<double>());
}

void lamb_step(std::span<const AdamParameter> layers, const AdamOptions& options) {
  lamb_as<float>(layers, options);
  lamb_as<double>(layers, options);
}

}  // namespace earmark::kernels::cuda
