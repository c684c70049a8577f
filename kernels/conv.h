// Two-dimensional convolution (cross-correlation) of N x F x T x C activations and both of its gradients.
//   out[n,f,t,o] = bias[o] + sum_{a,b,i} x[n, f*stride_f + a - pad_f, t*stride_t + b - pad_t, i] * weight[o,a,b,i]
// Positions outside x count as zero and cost nothing: taps that fall there are skipped. bf16 is summed in float.
#pragma once

#include <memory>

#include "kernels/tensor.h"

namespace earmark {

/// Rows or columns of zeros around the input.
struct Padding {
  int before = 0;
  int after = 0;
  bool operator==(const Padding&) const = default;
};

struct ConvOptions {
  int stride_f = 1;
  int stride_t = 1;
  Padding pad_f;
  Padding pad_t;
  bool operator==(const ConvOptions&) const = default;

  /// Odd kernels of equal padding on both sides, (kernel - 1) / 2: PyTorch's padding=1 for 3x3.
  static ConvOptions centred(int kernel_f, int kernel_t, int stride_f, int stride_t);
  /// TensorFlow's "same": ceil(extent / stride) outputs, the odd row of zeros at the end.
  static ConvOptions same(const Shape& x, const Shape& weight, int stride_f, int stride_t);
};

/// Shape of the result, (N, F', T', O). Throws Error when the shapes do not fit each other.
Shape conv_output_shape(const Shape& x, const Shape& weight, const ConvOptions& options);

namespace kernels {

/// Whether GPUs may round the operands of float convolutions to TF32 (10 bits of mantissa, sums still in float) for
/// their tensor cores, seven times as fast on an H100. Not allowed at first; the CPU never does it.
void allow_tf32(bool allowed);
bool tf32_allowed();

/// Whether this CPU multiplies bf16 faster than float: by a unit for tiles of them (Intel AMX), or in pairs where a
/// float would be (AVX512_BF16: AMD from Zen 4 on).
bool has_bf16_products();
/// Whether such CPUs may round the operands of float convolutions to bf16 (8 bits of mantissa), sums still in float:
/// several times as fast with a unit, a third faster in pairs. Not allowed at first.
void allow_bf16_products(bool allowed);
bool bf16_products_allowed();
/// Whether they are what the CPU computes: allowed, and there.
bool bf16_products_used();

/// While it lives, bf16 products are allowed or not.
class Bf16ProductsScope {
 public:
  explicit Bf16ProductsScope(bool allowed) : before_(bf16_products_allowed()) { allow_bf16_products(allowed); }
  ~Bf16ProductsScope() { allow_bf16_products(before_); }
  Bf16ProductsScope(const Bf16ProductsScope&) = delete;
  Bf16ProductsScope& operator=(const Bf16ProductsScope&) = delete;

 private:
  bool before_;
};

/// Weights in the form that a device's forward pass reads, for one size of input: made once where they do not change.
struct PreparedConv {
  PreparedConv() = default;
  virtual ~PreparedConv() = default;
  PreparedConv(const PreparedConv&) = delete;
  PreparedConv& operator=(const PreparedConv&) = delete;
};
/// For inputs (any N, F, T, I) like `x`. Null on devices that read weights as they are.
std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& weight, const Shape& x, const ConvOptions& options);

struct ConvForward {
  Tensor x;       // (N, F, T, I)
  Tensor weight;  // (O, Kf, Kt, I)
  Tensor bias;    // (O), or none
  ConvOptions options;
  Tensor add;                                      // (N, F', T', O) added before relu, or none: the residual
  bool relu = false;                               // max(0, .) of the sum
  Tensor out;                                      // written: (N, F', T', O)
  std::shared_ptr<const PreparedConv> prepared{};  // of this weight, F, T and options; or none: made for this call
};
void conv_forward(const ConvForward& a);

struct ConvBackward {
  Tensor x;       // (N, F, T, I)
  Tensor weight;  // (O, Kf, Kt, I)
  ConvOptions options;
  Tensor dout;     // (N, F', T', O)
  Tensor dx;       // written, or none: not wanted
  Tensor dweight;  // written, or none
  Tensor dbias;    // written, or none
};
void conv_backward(const ConvBackward& a);

namespace cpu {
std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& weight, const Shape& x, const ConvOptions& options);
void conv_forward(const ConvForward& a);
void conv_backward(const ConvBackward& a);
}  // namespace cpu
namespace cuda {
std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& weight, const Shape& x, const ConvOptions& options);
void conv_forward(const ConvForward& a);
void conv_backward(const ConvBackward& a);
}  // namespace cuda

}  // namespace kernels
}  // namespace earmark
