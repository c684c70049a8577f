// Matrix product, out = op(a) op(b), op(x) = x or its transpose. f32 and f64.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct Matmul {
  Tensor a;                  // (M, K), or (K, M) if transpose_a
  Tensor b;                  // (K, N), or (N, K) if transpose_b
  Tensor out;                // (M, N), shares no memory with a or b
  bool transpose_a = false;  //
  bool transpose_b = false;  //
  bool accumulate = false;   // out += instead of out =
};
/// K may be 0: the product is then 0.
void matmul(const Matmul& m);

namespace cpu {
void matmul(const Matmul& m);
}
namespace cuda {
void matmul(const Matmul& m);
}

}  // namespace earmark::kernels
