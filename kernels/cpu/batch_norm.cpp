// Memory sets the pace: statistics read x once (the second pass over a block hits L2), forward reads and writes once,
// backward reads x and dout twice and writes once. Floor: bytes moved / memory bandwidth.
#include "kernels/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/channel_rows.h"
#include "kernels/cpu/in_float.h"
#include "kernels/cpu/moments.h"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cpu {
namespace {

/// Per block and channel: mean and sum of squared differences from it.
template <class T>
void channel_moments(const T* x, std::int64_t rows, std::int64_t channels, double* mean, double* squares) {
  for_channel_vectors<T>(
      rows, channels, [&](std::int64_t block, std::int64_t first, std::int64_t count, std::int64_t c, int n) {
        const T* at = x + first * channels + c;
        Vec<T> sum[1];
        sum_rows<T, 1>(
            count, [&](std::int64_t r, Vec<T>* s) { s[0] += load_first(at + r * channels, n); }, sum);
        const Vec<T> centre = sum[0] / static_cast<T>(count);
        Vec<T> square[1];
        sum_rows<T, 1>(
            count,
            [&](std::int64_t r, Vec<T>* s) {
              const Vec<T> d = load_first(at + r * channels, n) - centre;
              s[0] += d * d;
            },
            square);
        for (int i = 0; i < n; ++i) {
          mean[block * channels + c + i] = static_cast<double>(centre[i]);
          squares[block * channels + c + i] = static_cast<double>(square[0][i]);
        }
      });
}

/// Calls take(c, moments) for every channel c of x.
template <class T, class Take>
void for_moments_of_channels(const Tensor& x, const Take& take) {
  const std::int64_t channels = x.dim(-1);
  const std::int64_t rows = x.numel() / channels;
  const std::int64_t blocks = row_blocks(rows, channels);
  std::vector<double> mean(static_cast<std::size_t>(blocks * channels));
  std::vector<double> squares(mean.size());
  channel_moments(x.data<T>(), rows, channels, mean.data(), squares.data());
  const std::int64_t per_block = rows_per_block(channels);
  for (std::int64_t c = 0; c < channels; ++c) {
    Moments m;
    for (std::int64_t b = 0; b < blocks; ++b) {
      const auto i = static_cast<std::size_t>(b * channels + c);
      m.merge(static_cast<double>(std::min(per_block, rows - b * per_block)), mean[i], squares[i]);
    }
    take(c, m);
  }
}

template <class T>
void keep_statistics(const BatchNormStatistics& a, std::int64_t c, const Moments& m) {
  const double variance = m.squares / m.count;
  a.mean.mutable_data<T>()[c] = static_cast<T>(m.mean);
  a.inverse_deviation.mutable_data<T>()[c] = static_cast<T>(1 / std::sqrt(variance + a.epsilon));
  if (a.running_mean) {
    T& running_mean = a.running_mean.mutable_data<T>()[c];
    T& running_variance = a.running_variance.mutable_data<T>()[c];
    const double unbiased = m.count > 1 ? m.squares / (m.count - 1) : variance;
    running_mean += static_cast<T>(a.momentum * (m.mean - static_cast<double>(running_mean)));
    running_variance += static_cast<T>(a.momentum * (unbiased - static_cast<double>(running_variance)));
  }
}

template <class T>
void statistics_as(const BatchNormStatistics& a) {
  for_moments_of_channels<T>(a.x, [&](std::int64_t c, const Moments& m) { keep_statistics<T>(a, c, m); });
}

template <class T>
void merge_as(const Tensor& moments, double rows, const BatchNormStatistics& a) {
  const std::int64_t channels = moments.dim(2);
  for (std::int64_t c = 0; c < channels; ++c) {
    Moments m;
    for (std::int64_t part = 0; part < moments.dim(0); ++part) {
      const double* of_part = moments.data<double>() + 2 * part * channels;
      m.merge(rows, of_part[c], of_part[channels + c]);
    }
    keep_statistics<T>(a, c, m);
  }
}

/// y = x * slope + offset, per channel.
template <class T>
struct Affine {
  Vec<T> slope;
  Vec<T> offset;

  Affine(const BatchNormForward& a, std::int64_t c, int n)
      : slope(load_first(a.gamma.data<T>() + c, n) * load_first(a.inverse_deviation.data<T>() + c, n)),
        offset(load_first(a.beta.data<T>() + c, n) - load_first(a.mean.data<T>() + c, n) * slope) {}
};

template <class T>
void batch_norm_forward_as(const BatchNormForward& a) {
  const std::int64_t channels = a.x.dim(-1);
  const T* x = a.x.data<T>();
  T* out = a.out.mutable_data<T>();
  const bool rectify = a.relu;
  for_channel_vectors<T>(a.x.numel() / std::max<std::int64_t>(channels, 1), channels,
                         [&](std::int64_t /*block*/, std::int64_t first, std::int64_t count, std::int64_t c, int n) {
                           const Affine<T> map(a, c, n);
                           for (std::int64_t at = first * channels + c; at < (first + count) * channels;
                                at += channels) {
                             const Vec<T> y = load_first(x + at, n) * map.slope + map.offset;
                             store_first(out + at, rectify ? relu<T>(y) : y, n);
                           }
                         });
}

template <class T>
void affine_as(const BatchNormForward& a, T* slope, T* offset) {
  for (std::int64_t c = 0; c < a.gamma.numel(); ++c) {
    slope[c] = a.gamma.data<T>()[c] * a.inverse_deviation.data<T>()[c];
    const double shift = static_cast<double>(a.mean.data<T>()[c]) * static_cast<double>(slope[c]);
    offset[c] = static_cast<T>(static_cast<double>(a.beta.data<T>()[c]) - shift);
  }
}

/// The gradient before ReLU: zero where ReLU was flat.
template <class T>
Vec<T> through_relu(bool rectify, Vec<T> dout, Vec<T> x, const Affine<T>& map) {
  return rectify ? (x * map.slope + map.offset <= 0 ? Vec<T>{} : dout) : dout;
}

/// dbeta = sum dz; dgamma = sum dz * normalised x.
template <class T>
void parameter_gradients(const BatchNormBackward& b) {
  const BatchNormForward& a = b.forward;
  const std::int64_t channels = a.x.dim(-1);
  const std::int64_t rows = a.x.numel() / channels;
  const std::int64_t blocks = row_blocks(rows, channels);
  std::vector<double> partials(static_cast<std::size_t>(2 * blocks * channels));
  const T* x = a.x.data<T>();
  const T* dout = b.dout.data<T>();
  for_channel_vectors<T>(
      rows, channels, [&](std::int64_t block, std::int64_t first, std::int64_t count, std::int64_t c, int n) {
        const Affine<T> map(a, c, n);
        const Vec<T> mean = load_first(a.mean.data<T>() + c, n);
        const std::int64_t start = first * channels + c;
        Vec<T> sum[2];
        sum_rows<T, 2>(
            count,
            [&](std::int64_t r, Vec<T>* s) {
              const Vec<T> value = load_first(x + start + r * channels, n);
              const Vec<T> dz = through_relu<T>(a.relu, load_first(dout + start + r * channels, n), value, map);
              s[0] += dz;
              s[1] += dz * (value - mean);
            },
            sum);
        for (int i = 0; i < n; ++i) {
          const auto at = static_cast<std::size_t>(2 * (block * channels + c + i));
          partials[at] = static_cast<double>(sum[0][i]);
          partials[at + 1] = static_cast<double>(sum[1][i]);
        }
      });
  for (std::int64_t c = 0; c < channels; ++c) {
    double dbeta = 0;
    double dgamma = 0;
    for (std::int64_t block = 0; block < blocks; ++block) {
      const auto at = static_cast<std::size_t>(2 * (block * channels + c));
      dbeta += partials[at];
      dgamma += partials[at + 1];
    }
    b.dbeta.mutable_data<T>()[c] = static_cast<T>(dbeta);
    b.dgamma.mutable_data<T>()[c] = static_cast<T>(dgamma * static_cast<double>(a.inverse_deviation.data<T>()[c]));
  }
}

/// dx = slope * (dz - dbeta / rows - normalised x * dgamma / rows); the last two only where the batch gave the
/// statistics, whose rows may be more than these.
template <class T>
void input_gradient(const BatchNormBackward& b) {
  const BatchNormForward& a = b.forward;
  const std::int64_t channels = a.x.dim(-1);
  const std::int64_t rows = a.x.numel() / channels;
  const T share = b.training ? T{1} / static_cast<T>(b.rows == 0 ? rows : b.rows) : T{0};
  const T* x = a.x.data<T>();
  const T* dout = b.dout.data<T>();
  T* dx = b.dx.mutable_data<T>();
  for_channel_vectors<T>(
      rows, channels, [&](std::int64_t /*block*/, std::int64_t first, std::int64_t count, std::int64_t c, int n) {
        const Affine<T> map(a, c, n);
        const Vec<T> per_x = -map.slope * share * load_first(b.dgamma.data<T>() + c, n) *
                             load_first(a.inverse_deviation.data<T>() + c, n);
        const Vec<T> constant =
            -map.slope * share * load_first(b.dbeta.data<T>() + c, n) - per_x * load_first(a.mean.data<T>() + c, n);
        for (std::int64_t at = first * channels + c; at < (first + count) * channels; at += channels) {
          const Vec<T> value = load_first(x + at, n);
          const Vec<T> dz = through_relu<T>(a.relu, load_first(dout + at, n), value, map);
          store_first<T>(dx + at, dz * map.slope + value * per_x + constant, n);
        }
      });
}

template <class T>
void fold_as(const FoldBatchNorm& a) {
  const std::int64_t per_output = a.weight.numel() / a.weight.dim(0);
  for (std::int64_t o = 0; o < a.weight.dim(0); ++o) {
    const double slope = static_cast<double>(a.gamma.data<T>()[o]) /
                         std::sqrt(static_cast<double>(a.running_variance.data<T>()[o]) + a.epsilon);
    const double bias = a.bias ? static_cast<double>(a.bias.data<T>()[o]) : 0;
    const T* from = a.weight.data<T>() + o * per_output;
    T* to = a.folded_weight.mutable_data<T>() + o * per_output;
    for (std::int64_t i = 0; i < per_output; ++i) {
      to[i] = static_cast<T>(static_cast<double>(from[i]) * slope);
    }
    a.folded_bias.mutable_data<T>()[o] = static_cast<T>(
        static_cast<double>(a.beta.data<T>()[o]) + (bias - static_cast<double>(a.running_mean.data<T>()[o])) * slope);
  }
}

}  // namespace

void batch_norm_statistics(const BatchNormStatistics& a) {
  if (a.x.dtype() == DType::bf16) {
    BatchNormStatistics wide = a;
    return in_float({&wide.x}, {}, [&] { cpu::batch_norm_statistics(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { statistics_as<T>(a); });
}

void batch_norm_moments(const Tensor& x, const Tensor& moments) {
  if (x.dtype() == DType::bf16) {
    Tensor wide = x;
    return in_float({&wide}, {}, [&] { cpu::batch_norm_moments(wide, moments); });
  }
  double* to = moments.mutable_data<double>();
  dispatch_float(x.dtype(), [&]<class T>() {
    for_moments_of_channels<T>(x, [&](std::int64_t c, const Moments& m) {
      to[c] = m.mean;
      to[moments.dim(1) + c] = m.squares;
    });
  });
}

void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a) {
  dispatch_float(a.mean.dtype(), [&]<class T>() { merge_as<T>(moments, static_cast<double>(rows), a); });
}

void batch_norm_forward(const BatchNormForward& a) {
  if (a.x.dtype() == DType::bf16) {
    BatchNormForward wide = a;
    return in_float({&wide.x}, {&wide.out}, [&] { cpu::batch_norm_forward(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { batch_norm_forward_as<T>(a); });
}

void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset) {
  dispatch_float(a.gamma.dtype(),
                 [&]<class T>() { affine_as<T>(a, slope.mutable_data<T>(), offset.mutable_data<T>()); });
}

void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out) {
  dispatch_float(variance.dtype(), [&]<class T>() {
    std::transform(variance.data<T>(), variance.data<T>() + variance.numel(), out.mutable_data<T>(),
                   [&](T v) { return static_cast<T>(1 / std::sqrt(static_cast<double>(v) + epsilon)); });
  });
}

void batch_norm_backward(const BatchNormBackward& a) {
  if (a.dx.dtype() == DType::bf16) {
    BatchNormBackward wide = a;
    return in_float({&wide.forward.x, &wide.dout}, {&wide.dx}, [&] { cpu::batch_norm_backward(wide); });
  }
  dispatch_float(a.forward.x.dtype(), [&]<class T>() {
    if (!a.sums_given) {
      parameter_gradients<T>(a);
    }
    input_gradient<T>(a);
  });
}

void batch_norm_gradient_sums(const BatchNormBackward& a) {
  if (a.dout.dtype() == DType::bf16) {
    BatchNormBackward wide = a;
    return in_float({&wide.forward.x, &wide.dout}, {}, [&] { cpu::batch_norm_gradient_sums(wide); });
  }
  dispatch_float(a.forward.x.dtype(), [&]<class T>() { parameter_gradients<T>(a); });
}

void fold_batch_norm(const FoldBatchNorm& a) {
  dispatch_float(a.weight.dtype(), [&]<class T>() { fold_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
