// The differentiable operations (those with a file of their own in this folder beside conv, batch_norm and
// spectral_temporal_attention, which declare themselves). Shapes are checked by the kernels below them.
#pragma once

#include <initializer_list>
#include <span>

#include "autograd/variable.h"
#include "kernels/grouped_linear.h"

namespace earmark {

Variable add(const Variable& a, const Variable& b);       ///< a + b, one shape.
Variable sub(const Variable& a, const Variable& b);       ///< a - b, one shape.
Variable mul(const Variable& a, const Variable& b);       ///< a * b elementwise, one shape.
Variable scale(const Variable& x, double factor);         ///< factor * x
Variable relu(const Variable& x);                         ///< max(x, 0); the derivative at 0 is 0.
Variable elu(const Variable& x);                          ///< x, or exp(x) - 1 below zero.
Variable sum(const Variable& x);                          ///< Sum of all elements, ().
Variable mean(const Variable& x);                         ///< Mean of all elements, ().
Variable reshape(const Variable& x, const Shape& shape);  ///< The same elements under another shape; shares memory.

/// The same values as f32, f64 or bf16 (rounded to nearest even), x itself where it has that type already. The gradient
/// comes back in x's type.
Variable cast(const Variable& x, DType dtype);

/// Axis k of the result is axis axes[k] of x, as in NumPy's transpose.
Variable permute(const Variable& x, std::span<const int> axes);
inline Variable permute(const Variable& x, std::initializer_list<int> axes) {
  return permute(x, std::span<const int>(axes.begin(), axes.size()));
}

/// op(a) op(b) -> (M, N), with op the transpose where asked: a is (M, K) or (K, M), b is (K, N) or (N, K).
Variable matmul(const Variable& a, const Variable& b, bool transpose_a = false, bool transpose_b = false);

/// x (N, G, I), w (G, O, I), b (G, O) -> (N, G, O): w[g] x[n, g] + b[g], then the activation.
Variable grouped_linear(const Variable& x, const Variable& w, const Variable& b,
                        kernels::Activation activation = kernels::Activation::none);

/// x (N, D) -> rows of length 1: x / max(|x|, epsilon).
Variable l2_normalize(const Variable& x, double epsilon = 1e-12);

/// What a contrastive step reports.
struct NtXentResult {
  Variable loss;  ///< ()
  Tensor top1;    ///< (), share of anchors whose positive is nearer than every other key.
};
/// Symmetric NT-Xent over unit embeddings (2P, D): first views of P pairs, then second views, in the same order.
NtXentResult nt_xent(const Variable& embeddings, double temperature);
/// The same for one rank of several: anchors (2P, D) are rows [offset, offset + 2P) of the gathered keys (M, D). See
/// kernels/nt_xent.h for what the ranks' losses and gradients add up to, and ReductionGroupsScope for the order of the
/// views and what is reported where groups are on.
NtXentResult nt_xent(const Variable& anchors, const Variable& keys, std::int64_t offset, double temperature);

}  // namespace earmark
