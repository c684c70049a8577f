#include "kernels/batch_norm.h"

#include <string_view>

#include "kernels/compute_type.h"
#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

/// A vector that goes with the map or vector x.
void check_channels(const Tensor& t, const Tensor& x, std::int64_t channels, std::string_view name) {
  const DType wanted = compute_type(x.dtype());
  check(t.shape() == Shape{channels} && t.dtype() == wanted, "batch norm: ", name, " must be ", name_of(wanted), " (",
        channels, "), got ", name_of(t.dtype()), t.shape());
}

/// The vectors of `a`, which go with `like`.
void check_vectors(const BatchNormForward& a, const Tensor& like, std::int64_t channels) {
  check_channels(a.mean, like, channels, "mean");
  check_channels(a.inverse_deviation, like, channels, "inverse_deviation");
  check_channels(a.gamma, like, channels, "gamma");
  check_channels(a.beta, like, channels, "beta");
}

void check_rows(const Tensor& x) {
  check(x.shape().rank() >= 1 && x.numel() > 0, "batch norm: training needs at least one row, got ", x.shape());
}

/// What is written of `a`, which goes with `like`.
void check_results(const BatchNormStatistics& a, const Tensor& like, std::int64_t channels) {
  check_channels(a.mean, like, channels, "mean");
  check_channels(a.inverse_deviation, like, channels, "inverse_deviation");
  check(static_cast<bool>(a.running_mean) == static_cast<bool>(a.running_variance),
        "batch norm: running mean and variance go together");
  if (a.running_mean) {
    check_channels(a.running_mean, like, channels, "running_mean");
    check_channels(a.running_variance, like, channels, "running_variance");
  }
}

void check_batch_norm(const BatchNormForward& a) {
  check(a.x.shape().rank() >= 1, "batch norm: x must have a channel axis");
  check_vectors(a, a.x, a.x.dim(-1));
}

/// All but dx.
void check_gradients(const BatchNormBackward& a) {
  check_batch_norm(a.forward);
  const Tensor& x = a.forward.x;
  check(a.dout.shape() == x.shape(), "batch norm backward: dout must be ", x.shape(), ", got ", a.dout.shape());
  check_channels(a.dgamma, x, x.dim(-1), "dgamma");
  check_channels(a.dbeta, x, x.dim(-1), "dbeta");
}

}  // namespace

void batch_norm_statistics(const BatchNormStatistics& a) {
  check_rows(a.x);
  check_results(a, a.x, a.x.dim(-1));
  run_on<cpu::batch_norm_statistics, cuda::batch_norm_statistics>(a.x.device(), a);
}

void batch_norm_moments(const Tensor& x, const Tensor& moments) {
  check_rows(x);
  check(moments.shape() == Shape{2, x.dim(-1)} && moments.dtype() == DType::f64, "batch norm: moments must be f64 (2, ",
        x.dim(-1), "), got ", name_of(moments.dtype()), moments.shape());
  run_on<cpu::batch_norm_moments, cuda::batch_norm_moments>(x.device(), x, moments);
}

void batch_norm_merge(const Tensor& moments, std::int64_t rows, const BatchNormStatistics& a) {
  check(a.mean.shape().rank() == 1, "batch norm: mean must be (C), got ", a.mean.shape());
  const std::int64_t channels = a.mean.dim(0);
  check(moments.shape().rank() == 3 && moments.shape() == Shape{moments.dim(0), 2, channels} && moments.dim(0) > 0 &&
            moments.dtype() == DType::f64,
        "batch norm: moments must be f64 (parts, 2, ", channels, "), got ", name_of(moments.dtype()), moments.shape());
  check(rows > 0, "batch norm: training needs at least one row, got ", rows);
  check_results(a, a.mean, channels);
  run_on<cpu::batch_norm_merge, cuda::batch_norm_merge>(moments.device(), moments, rows, a);
}

void batch_norm_forward(const BatchNormForward& a) {
  check_batch_norm(a);
  check(a.out.shape() == a.x.shape(), "batch norm: out must be ", a.x.shape(), ", got ", a.out.shape());
  run_on<cpu::batch_norm_forward, cuda::batch_norm_forward>(a.x.device(), a);
}

void batch_norm_affine(const BatchNormForward& a, const Tensor& slope, const Tensor& offset) {
  check(a.gamma.shape().rank() == 1, "batch norm: gamma must be (C), got ", a.gamma.shape());
  const std::int64_t channels = a.gamma.dim(0);
  check_vectors(a, a.gamma, channels);
  check_channels(slope, a.gamma, channels, "slope");
  check_channels(offset, a.gamma, channels, "offset");
  run_on<cpu::batch_norm_affine, cuda::batch_norm_affine>(a.gamma.device(), a, slope, offset);
}

void batch_norm_inverse_deviation(const Tensor& variance, double epsilon, const Tensor& out) {
  check(variance.shape().rank() == 1, "batch norm: variance must be (C), got ", variance.shape());
  check_channels(out, variance, variance.dim(0), "the inverse deviation");
  run_on<cpu::batch_norm_inverse_deviation, cuda::batch_norm_inverse_deviation>(variance.device(), variance, epsilon,
                                                                                out);
}

void batch_norm_gradient_sums(const BatchNormBackward& a) {
  check_gradients(a);
  run_on<cpu::batch_norm_gradient_sums, cuda::batch_norm_gradient_sums>(a.forward.x.device(), a);
}

void batch_norm_backward(const BatchNormBackward& a) {
  check_gradients(a);
  const Tensor& x = a.forward.x;
  check(a.dx.shape() == x.shape(), "batch norm backward: dx must be ", x.shape(), ", got ", a.dx.shape());
  run_on<cpu::batch_norm_backward, cuda::batch_norm_backward>(x.device(), a);
}

void fold_batch_norm(const FoldBatchNorm& a) {
  check(a.weight.shape().rank() == 4 && a.folded_weight.shape() == a.weight.shape(),
        "fold batch norm: weights must be (O, Kf, Kt, I), got ", a.weight.shape());
  const std::int64_t channels = a.weight.dim(0);
  for (const Tensor& t : {a.gamma, a.beta, a.running_mean, a.running_variance, a.folded_bias}) {
    check_channels(t, a.weight, channels, "every vector");
  }
  if (a.bias) {
    check_channels(a.bias, a.weight, channels, "bias");
  }
  run_on<cpu::fold_batch_norm, cuda::fold_batch_norm>(a.weight.device(), a);
}

}  // namespace earmark::kernels
