// All tensors of a network in one launch (parameter_batch.cuh), moved 16 bytes at a time where they are aligned.
// Floor on an H100 at 3.35 TB/s: an Adam step reads 16 and writes 12 bytes per float parameter, 0.14 ms for 16.6
// million of them; a norm reads 4. 12 operations a parameter take a fiftieth of that, and 85 % of the floor is to be
// expected; a tensor of some hundred elements has a block, all the same, whose other threads idle.
#include <cmath>
#include <span>

#include "kernels/cuda/parameter_batch.cuh"
#include "kernels/cuda/reduction.cuh"
#include "kernels/dispatch_type.h"
#include "kernels/optimizer.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = kParameterThreads;

/// Buffers: value, gradient, first moment, second moment.
template <class T>
struct AdamUpdate {
  T* value;
  const T* grad;
  T* moment1;
  T* moment2;
  AdamCoefficients<T> c;

  template <int N>
  __device__ __forceinline__ void operator()(std::int64_t group) const {
    Vector<T, N> x = load_vector<N>(value, group);
    const Vector<T, N> gradient = load_vector<N>(grad, group);
    Vector<T, N> m = load_vector<N>(moment1, group);
    Vector<T, N> v = load_vector<N>(moment2, group);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const T g = gradient[k] * c.gradient_scale;
      m[k] = c.beta1 * m[k] + c.one_minus_beta1 * g;
      v[k] = c.beta2 * v[k] + c.one_minus_beta2 * g * g;
      x[k] = c.keep * x[k] - c.step_size * m[k] / (sqrt(v[k]) * c.root_correction + c.epsilon);
    }
    store_vector<N>(moment1, group, m);
    store_vector<N>(moment2, group, v);
    store_vector<N>(value, group, x);
  }
};

__global__ void schedule_kernel(AdamSchedule values, double* schedule) {
  schedule[0] = values.keep;
  schedule[1] = values.step_size;
  schedule[2] = values.root_correction;
}

/// schedule (3), or null: set_schedule()'s. gate (2), or null: an UpdateGate's.
template <class T>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(const ParameterBatch<T, 4> batch, AdamCoefficients<T> c, const double* schedule, const double* gate) {
  if (schedule != nullptr) {
    c.keep = static_cast<T>(schedule[0]);
    c.step_size = static_cast<T>(schedule[1]);
    c.root_correction = static_cast<T>(schedule[2]);
  }
  if (gate != nullptr) {
    c.gradient_scale = static_cast<T>(gate[1]);
    if (c.gradient_scale != c.gradient_scale) {
      return;
    }
  }
  const ParameterPiece piece = own_piece(batch);
  const int i = piece.tensor;
  const AdamUpdate<T> update{batch.data[0][i], batch.data[1][i], batch.data[2][i], batch.data[3][i], c};
  if (batch.wide[i]) {
    for_groups<kVector<T>>(piece, update);
  } else {
    for_groups<1>(piece, update);
  }
}

template <class T>
struct SquareSum {
  const T* x;
  double& total;

  template <int N>
  __device__ __forceinline__ void operator()(std::int64_t group) const {
    const Vector<T, N> values = load_vector<N>(x, group);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const auto v = static_cast<double>(values[k]);
      total += v * v;
    }
  }
};

/// partials[block] = sum of squares of its piece, in double.
template <class T>
__global__ void __launch_bounds__(kThreads) square_sum_kernel(const ParameterBatch<T, 1> batch, double* partials) {
  const ParameterPiece piece = own_piece(batch);
  double total = 0;
  const SquareSum<T> add{batch.data[0][piece.tensor], total};
  if (batch.wide[piece.tensor]) {
    for_groups<kVector<T>>(piece, add);
  } else {
    for_groups<1>(piece, add);
  }
  total = block_sum<kThreads>(total);
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = total;
  }
}

/// One block: out = the sum of x (count).
__global__ void __launch_bounds__(kThreads) add_up_kernel(const double* x, std::int64_t count, double* out) {
  double total = 0;
  for (std::int64_t i = threadIdx.x; i < count; i += kThreads) {
    total += x[i];
  }
  total = block_sum<kThreads>(total);
  if (threadIdx.x == 0) {
    *out = total;
  }
}

/// One thread: gate as UpdateGate describes. Sums of squares that are null count as 0.
template <class T>
__global__ void gate_kernel(const double* float_squares, const double* double_squares, const T* loss, double maximum,
                            double* gate) {
  const double squares =
      (float_squares == nullptr ? 0 : *float_squares) + (double_squares == nullptr ? 0 : *double_squares);
  const double norm = sqrt(squares);
  const bool open = norm < INFINITY && fabs(static_cast<double>(*loss)) < INFINITY && gate[1] == gate[1];
  const double factor = maximum > 0 ? maximum / (norm + 1e-6) : 1;
  gate[0] = norm;
  gate[1] = !open ? NAN : factor < 1 ? factor : 1;
}

template <class T>
void adam_as(std::span<const AdamParameter> parameters, const AdamOptions& options) {
  const AdamCoefficients<T> coefficients(options, schedule_of(options));
  ParameterBatch<T, 4> batch;
  const auto flush = [&] {
    launch(adam_kernel<T>, blocks(batch.blocks(), kThreads), batch, coefficients,
           options.schedule ? options.schedule.data<double>() : nullptr,
           options.gate ? options.gate.data<double>() : nullptr);
    batch = {};
  };
  for (const AdamParameter& p : parameters) {
    if (p.grad && p.value.dtype() == dtype_of<T>) {
      batch.add({p.value, p.grad, p.moment1, p.moment2});
    }
    if (batch.full()) {
      flush();
    }
  }
  flush();
}

/// Sum of squares of those gradients that hold T, () f64 on their GPU; empty where there are none.
template <class T>
Tensor square_sum(std::span<const Tensor> gradients) {
  std::int64_t pieces = 0;
  Device device;
  for (const Tensor& g : gradients) {
    if (g && g.dtype() == dtype_of<T>) {
      pieces += (g.numel() + kParameterPiece - 1) / kParameterPiece;
      device = g.device();
    }
  }
  if (pieces == 0) {
    return {};
  }
  const Tensor partials({pieces}, DType::f64, device);
  double* next = partials.mutable_data<double>();
  ParameterBatch<T, 1> batch;
  const auto flush = [&] {
    launch(square_sum_kernel<T>, blocks(batch.blocks(), kThreads), batch, next);
    next += batch.blocks();
    batch = {};
  };
  for (const Tensor& g : gradients) {
    if (g && g.dtype() == dtype_of<T>) {
      batch.add({g});
    }
    if (batch.full()) {
      flush();
    }
  }
  flush();
  const Tensor total({}, DType::f64, device);
  launch(add_up_kernel, blocks(1, kThreads), partials.data<double>(), pieces, total.mutable_data<double>());
  return total;
}

}  // namespace

void set_schedule(const AdamSchedule& values, const Tensor& schedule) {
  launch(schedule_kernel, blocks(1, 1), values, schedule.mutable_data<double>());
}

void adam_step(std::span<const AdamParameter> parameters, const AdamOptions& options) {
  adam_as<float>(parameters, options);
  adam_as<double>(parameters, options);
}

double grad_square_sum(std::span<const Tensor> gradients) {
  const Tensor single = square_sum<float>(gradients);
  const Tensor twice = square_sum<double>(gradients);
  return (single ? single.item() : 0) + (twice ? twice.item() : 0);
}

void update_gate(const UpdateGate& args) {
  const Tensor single = square_sum<float>(args.gradients);
  const Tensor twice = square_sum<double>(args.gradients);
  const auto pointer = [](const Tensor& sum) { return sum ? sum.data<double>() : nullptr; };
  dispatch_float(args.loss.dtype(), [&]<class T>() {
    launch(gate_kernel<T>, blocks(1, 1), pointer(single), pointer(twice), args.loss.data<T>(), args.maximum,
           args.gate.mutable_data<double>());
  });
}

}  // namespace earmark::kernels::cuda
