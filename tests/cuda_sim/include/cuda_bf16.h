// The toolkit's own header has all but a few functions that only device code has.
#pragma once
#pragma GCC system_header  // for #include_next
#include_next <cuda_bf16.h>

#include <cmath>

inline __nv_bfloat16 __hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c) {
  return __float2bfloat16_rn(fmaf(__bfloat162float(a), __bfloat162float(b), __bfloat162float(c)));
}
