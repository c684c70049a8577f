// The toolkit's own header has all but a few functions that only device code has.
#pragma once
#pragma GCC system_header  // for #include_next
#include_next <cuda_fp16.h>

#include <cmath>

inline __half __hfma(__half a, __half b, __half c) {
  return __float2half_rn(fmaf(__half2float(a), __half2float(b), __half2float(c)));
}
