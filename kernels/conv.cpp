#include "kernels/conv.h"

#include <algorithm>
#include <atomic>

#include "kernels/cpu/conv_bf16_pairs.h"
#include "kernels/cpu/tile_unit.h"
#include "kernels/dispatch.h"

namespace earmark {
namespace {

Padding same_padding(std::int64_t extent, std::int64_t kernel, int stride) {
  const std::int64_t outputs = (extent + stride - 1) / stride;
  const auto total = static_cast<int>(std::max<std::int64_t>((outputs - 1) * stride + kernel - extent, 0));
  return {total / 2, total - total / 2};
}

std::int64_t output_extent(std::int64_t extent, std::int64_t kernel, int stride, Padding pad) {
  return (extent + pad.before + pad.after - kernel) / stride + 1;
}

}  // namespace

ConvOptions ConvOptions::centred(int kernel_f, int kernel_t, int stride_f, int stride_t) {
  const int f = (kernel_f - 1) / 2;
  const int t = (kernel_t - 1) / 2;
  return {stride_f, stride_t, {f, f}, {t, t}};
}

ConvOptions ConvOptions::same(const Shape& x, const Shape& weight, int stride_f, int stride_t) {
  check(x.rank() == 4 && weight.rank() == 4, "conv: expected x (N, F, T, I) and weight (O, Kf, Kt, I), got ", x,
        " and ", weight);
  return {stride_f, stride_t, same_padding(x[1], weight[1], stride_f), same_padding(x[2], weight[2], stride_t)};
}

Shape conv_output_shape(const Shape& x, const Shape& weight, const ConvOptions& o) {
  check(x.rank() == 4 && weight.rank() == 4 && x[3] == weight[3],
        "conv: expected x (N, F, T, I) and weight (O, Kf, Kt, I), got ", x, " and ", weight);
  check(o.stride_f > 0 && o.stride_t > 0, "conv: strides must be positive, got ", o.stride_f, " and ", o.stride_t);
  check(std::min({o.pad_f.before, o.pad_f.after, o.pad_t.before, o.pad_t.after}) >= 0, "conv: negative padding");
  check(x[1] + o.pad_f.before + o.pad_f.after >= weight[1] && x[2] + o.pad_t.before + o.pad_t.after >= weight[2],
        "conv: kernel ", weight, " is larger than the padded input ", x);
  return {x[0], output_extent(x[1], weight[1], o.stride_f, o.pad_f),
          output_extent(x[2], weight[2], o.stride_t, o.pad_t), weight[0]};
}

namespace kernels {
namespace {

std::atomic<bool> tf32{false};
std::atomic<bool> bf16_products{false};

void check_same_kind(const Tensor& t, const Tensor& x, const char* name) {
  check(t.dtype() == x.dtype() && t.device() == x.device(), "conv: ", name, " is ", name_of(t.dtype()), " on ",
        t.device(), ", x is ", name_of(x.dtype()), " on ", x.device());
}

void check_optional(const Tensor& t, const Shape& shape, const Tensor& x, const char* name) {
  if (t) {
    check(t.shape() == shape, "conv: ", name, " must be ", shape, ", got ", t.shape());
    check_same_kind(t, x, name);
  }
}

}  // namespace

void allow_tf32(bool allowed) { tf32 = allowed; }
bool tf32_allowed() { return tf32; }
bool has_bf16_products() { return cpu::has_tile_unit() || cpu::has_bf16_pairs(); }
void allow_bf16_products(bool allowed) { bf16_products = allowed; }
bool bf16_products_allowed() { return bf16_products; }
bool bf16_products_used() { return bf16_products && has_bf16_products(); }

std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& weight, const Shape& x, const ConvOptions& options) {
  static_cast<void>(conv_output_shape(x, weight.shape(), options));
  return run_on<cpu::prepare_conv, cuda::prepare_conv>(weight.device(), weight, x, options);
}

void conv_forward(const ConvForward& a) {
  const Shape out = conv_output_shape(a.x.shape(), a.weight.shape(), a.options);
  check(a.out.shape() == out, "conv: out must be ", out, ", got ", a.out.shape());
  check_same_kind(a.weight, a.x, "weight");
  check_same_kind(a.out, a.x, "out");
  check_optional(a.bias, {a.weight.dim(0)}, a.x, "bias");
  check_optional(a.add, out, a.x, "add");
  if (a.out.numel() > 0) {
    run_on<cpu::conv_forward, cuda::conv_forward>(a.x.device(), a);
  }
}

void conv_backward(const ConvBackward& a) {
  const Shape out = conv_output_shape(a.x.shape(), a.weight.shape(), a.options);
  check(a.dout.shape() == out, "conv backward: dout must be ", out, ", got ", a.dout.shape());
  check_same_kind(a.weight, a.x, "weight");
  check_same_kind(a.dout, a.x, "dout");
  check_optional(a.dx, a.x.shape(), a.x, "dx");
  check_optional(a.dweight, a.weight.shape(), a.x, "dweight");
  check_optional(a.dbias, {a.weight.dim(0)}, a.x, "dbias");
  run_on<cpu::conv_backward, cuda::conv_backward>(a.x.device(), a);
}

}  // namespace kernels
}  // namespace earmark
