// The largest of many numbers.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

/// out = the largest element of x; NaN where there is one, -infinity where there is none. Exact: the same on every
/// device.
struct MaximumOf {
  Tensor x;    ///< any shape, f32
  Tensor out;  ///< (1) f32
};
void maximum(const MaximumOf& args);

namespace cpu {
void maximum(const MaximumOf& args);
}
namespace cuda {
void maximum(const MaximumOf& args);
}

}  // namespace earmark::kernels
