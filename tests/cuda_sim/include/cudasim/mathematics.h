// Mathematical functions, conversions and bit operations that only device code has. Fast ones are exact here.
#pragma once

#include <cmath>

#include "cudasim/warp.h"

#define CUDASIM_MIN_AND_MAX(T)                     \
  inline T min(T a, T b) { return a < b ? a : b; } \
  inline T max(T a, T b) { return a > b ? a : b; }
CUDASIM_MIN_AND_MAX(int)
CUDASIM_MIN_AND_MAX(unsigned)
CUDASIM_MIN_AND_MAX(long)
CUDASIM_MIN_AND_MAX(unsigned long)
CUDASIM_MIN_AND_MAX(long long)
CUDASIM_MIN_AND_MAX(unsigned long long)
#undef CUDASIM_MIN_AND_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }

inline float __logf(float x) { return logf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

// Never joined with the operation that follows: the value is used, as far as the compiler knows, in between.
inline float __fmul_rn(float a, float b) {
  float product = a * b;
  asm("" : "+x"(product));
  return product;
}
inline float __fadd_rn(float a, float b) {
  float sum = a + b;
  asm("" : "+x"(sum));
  return sum;
}

inline unsigned __float_as_uint(float x) { return cudasim::from_bits<unsigned>(cudasim::to_bits(x)); }
inline float __uint_as_float(unsigned x) { return cudasim::from_bits<float>(cudasim::to_bits(x)); }

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32U);
}
