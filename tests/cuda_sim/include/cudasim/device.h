// CUDA C++ device language on the CPU.  Included instead of nvcc's built-ins (g++ -x c++).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#define CUDASIM 1
#undef __shared__
#undef __constant__
#undef __global__
#undef __launch_bounds__
#define __global__
#define __shared__ thread_local  // valid both as 'T x[N]' and as 'extern T x[]'
#define __constant__ __attribute__((section("cudasim_const")))
#define __launch_bounds__(...)

extern constinit thread_local uint3 threadIdx;
extern constinit thread_local uint3 blockIdx;
extern constinit thread_local dim3 blockDim;
extern constinit thread_local dim3 gridDim;
inline constexpr int warpSize = 32;

namespace cudasim {
enum WarpOp : unsigned char {
  W_SYNC,
  W_SHFL_IDX,
  W_SHFL_UP,
  W_SHFL_DOWN,
  W_SHFL_XOR,
  W_BALLOT,
  W_ANY,
  W_ALL,
  W_MATCH_ANY,
  W_RADD_U,
  W_RADD_S,
  W_RMIN_U,
  W_RMIN_S,
  W_RMAX_U,
  W_RMAX_S,
  W_RAND,
  W_ROR,
  W_RXOR
};
enum BarKind : unsigned char { B_SYNC, B_COUNT, B_AND, B_OR };
// all in engine.cpp (not instrumented)
uint64_t warp_op(WarpOp op, unsigned mask, uint64_t val, int aux, int width);
int block_barrier(BarKind kind, int pred, unsigned line);
void fence(int scope);
unsigned active_mask();
[[noreturn]] void trap();
void atomic_access(const volatile void* p, int size);  // check-mode hook; also validates address
// type-erased kernel call; 'data' (kernel + by-value arguments) is the launch's parameter space
struct KernelBody {
  void (*call)(const void*);
  void (*destroy)(void*);
  void* data;
  size_t size;
};
cudaError_t enqueue_kernel(const void* fn, const char* name, const cudaLaunchConfig_t& cfg, KernelBody body);

template <class... P, class... A>
cudaError_t launchKernelEx(const cudaLaunchConfig_t* c, void (*k)(P...), A&&... a) {
  static_assert(sizeof...(P) == sizeof...(A), "kernel argument count mismatch");
  struct Data {
    void (*k)(P...);
    std::tuple<std::remove_cv_t<P>...> args;
  };
  auto* d = new Data{k, {std::forward<A>(a)...}};
  return enqueue_kernel((const void*)k, __PRETTY_FUNCTION__, *c,
                        {[](const void* p) {
                           auto* q = (const Data*)p;
                           std::apply(q->k, q->args);
                         },
                         [](void* p) { delete (Data*)p; }, d, sizeof(Data)});
}
template <class T>
inline uint64_t to_bits(T v) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t u = 0;
  std::memcpy(&u, (const void*)&v, sizeof(T));
  return u;
}
template <class T>
inline T from_bits(uint64_t u) {
  T v;
  std::memcpy((void*)&v, &u, sizeof(T));
  return v;
}
}  // namespace cudasim
#define cudaLaunchKernelEx ::cudasim::launchKernelEx

template <class T>
inline cudaError_t cudaFuncSetAttribute(T* f, cudaFuncAttribute a, int v) {
  return ::cudaFuncSetAttribute((const void*)f, a, v);
}
template <class T>
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* o, T* f) {
  return ::cudaFuncGetAttributes(o, (const void*)f);
}

// ---- synchronisation
// -------------------------------------------------------------------------------------------------
// __builtin_LINE() identifies the barrier: g++ may merge or duplicate calls, so return addresses cannot
inline void __syncthreads(unsigned ln = __builtin_LINE()) { cudasim::block_barrier(cudasim::B_SYNC, 0, ln); }
inline int __syncthreads_count(int p, unsigned ln = __builtin_LINE()) {
  return cudasim::block_barrier(cudasim::B_COUNT, p != 0, ln);
}
inline int __syncthreads_and(int p, unsigned ln = __builtin_LINE()) {
  return cudasim::block_barrier(cudasim::B_AND, p != 0, ln);
}
inline int __syncthreads_or(int p, unsigned ln = __builtin_LINE()) {
  return cudasim::block_barrier(cudasim::B_OR, p != 0, ln);
}
inline void __syncwarp(unsigned m = 0xffffffffu) { cudasim::warp_op(cudasim::W_SYNC, m, 0, 0, 32); }
inline void __threadfence() { cudasim::fence(1); }
inline void __threadfence_block() { cudasim::fence(0); }
inline void __threadfence_system() { cudasim::fence(2); }
inline unsigned __activemask() { return cudasim::active_mask(); }
[[noreturn]] inline void __trap() { cudasim::trap(); }

#define CUDASIM_SHFL(name, op, T2)                                                                      \
  template <class T>                                                                                    \
  inline T name(unsigned m, T v, T2 x, int width = 32) {                                                \
    return cudasim::from_bits<T>(cudasim::warp_op(cudasim::op, m, cudasim::to_bits(v), (int)x, width)); \
  }
CUDASIM_SHFL(__shfl_sync, W_SHFL_IDX, int)
CUDASIM_SHFL(__shfl_up_sync, W_SHFL_UP, unsigned)
CUDASIM_SHFL(__shfl_down_sync, W_SHFL_DOWN, unsigned)
CUDASIM_SHFL(__shfl_xor_sync, W_SHFL_XOR, int)
#undef CUDASIM_SHFL
inline unsigned __ballot_sync(unsigned m, int p) {
  return (unsigned)cudasim::warp_op(cudasim::W_BALLOT, m, p != 0, 0, 32);
}
inline int __any_sync(unsigned m, int p) { return (int)cudasim::warp_op(cudasim::W_ANY, m, p != 0, 0, 32); }
inline int __all_sync(unsigned m, int p) { return (int)cudasim::warp_op(cudasim::W_ALL, m, p != 0, 0, 32); }
template <class T>
inline unsigned __match_any_sync(unsigned m, T v) {
  return (unsigned)cudasim::warp_op(cudasim::W_MATCH_ANY, m, cudasim::to_bits(v), 0, 32);
}
inline unsigned __reduce_add_sync(unsigned m, unsigned v) {
  return (unsigned)cudasim::warp_op(cudasim::W_RADD_U, m, v, 0, 32);
}
inline int __reduce_add_sync(unsigned m, int v) {
  return (int)cudasim::warp_op(cudasim::W_RADD_S, m, (unsigned)v, 0, 32);
}
inline unsigned __reduce_max_sync(unsigned m, unsigned v) {
  return (unsigned)cudasim::warp_op(cudasim::W_RMAX_U, m, v, 0, 32);
}
inline int __reduce_max_sync(unsigned m, int v) {
  return (int)cudasim::warp_op(cudasim::W_RMAX_S, m, (unsigned)v, 0, 32);
}
inline unsigned __reduce_min_sync(unsigned m, unsigned v) {
  return (unsigned)cudasim::warp_op(cudasim::W_RMIN_U, m, v, 0, 32);
}
inline int __reduce_min_sync(unsigned m, int v) {
  return (int)cudasim::warp_op(cudasim::W_RMIN_S, m, (unsigned)v, 0, 32);
}

// ---- atomics (blocks of one launch run on one OS thread: plain read-modify-write is enough)
// ----------------------------
#define CUDASIM_NOSAN __attribute__((no_sanitize("thread"), noinline))
#define CUDASIM_AI __attribute__((always_inline)) inline  // hook sees the kernel line as return address
namespace cudasim {
template <class T, class V>
CUDASIM_NOSAN T at_add(T* p, V v) {
  T o = *p;
  *p = (T)(o + v);
  return o;
}
template <class T>
CUDASIM_NOSAN T at_exch(T* p, T v) {
  T o = *p;
  *p = v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_min(T* p, T v) {
  T o = *p;
  if (v < o) *p = v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_max(T* p, T v) {
  T o = *p;
  if (v > o) *p = v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_and(T* p, T v) {
  T o = *p;
  *p = o & v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_or(T* p, T v) {
  T o = *p;
  *p = o | v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_xor(T* p, T v) {
  T o = *p;
  *p = o ^ v;
  return o;
}
template <class T>
CUDASIM_NOSAN T at_cas(T* p, T c, T v) {
  T o = *p;
  if (o == c) *p = v;
  return o;
}
}  // namespace cudasim
CUDASIM_AI int atomicAdd(int* p, int v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, v);
}
CUDASIM_AI unsigned atomicAdd(unsigned* p, unsigned v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, v);
}
CUDASIM_AI unsigned long long atomicAdd(unsigned long long* p, unsigned long long v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, v);
}
CUDASIM_AI float atomicAdd(float* p, float v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, v);
}
CUDASIM_AI double atomicAdd(double* p, double v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, v);
}
CUDASIM_AI int atomicSub(int* p, int v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_add(p, -v);
}
template <class T>
CUDASIM_AI T atomicExch(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_exch(p, v);
}
template <class T>
CUDASIM_AI T atomicMin(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_min(p, v);
}
template <class T>
CUDASIM_AI T atomicMax(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_max(p, v);
}
template <class T>
CUDASIM_AI T atomicAnd(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_and(p, v);
}
template <class T>
CUDASIM_AI T atomicOr(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_or(p, v);
}
template <class T>
CUDASIM_AI T atomicXor(T* p, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_xor(p, v);
}
template <class T>
CUDASIM_AI T atomicCAS(T* p, std::type_identity_t<T> c, std::type_identity_t<T> v) {
  cudasim::atomic_access(p, sizeof *p);
  return cudasim::at_cas(p, c, v);
}

// ---- maths & bit intrinsics
// -------------------------------------------------------------------------------------------
inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
inline long long min(long long a, long long b) { return a < b ? a : b; }
inline long long max(long long a, long long b) { return a > b ? a : b; }
inline long min(long a, long b) { return a < b ? a : b; }
inline long max(long a, long b) { return a > b ? a : b; }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __saturatef(float a) { return a < 0 ? 0 : a > 1 ? 1 : a; }
inline int __float_as_int(float f) { return cudasim::from_bits<int>(cudasim::to_bits(f)); }
inline unsigned __float_as_uint(float f) { return cudasim::from_bits<unsigned>(cudasim::to_bits(f)); }
inline float __int_as_float(int i) { return cudasim::from_bits<float>(cudasim::to_bits(i)); }
inline float __uint_as_float(unsigned i) { return cudasim::from_bits<float>(cudasim::to_bits(i)); }
inline int __float2int_rn(float f) { return (int)lrintf(f); }
inline int __float2int_rd(float f) { return (int)floorf(f); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
template <class T>
__attribute__((always_inline)) inline T __ldg(const T* p) {
  return *p;
}
template <class T>
__attribute__((always_inline)) inline T __ldcs(const T* p) {
  return *p;
}
template <class T>
__attribute__((always_inline)) inline T __ldcg(const T* p) {
  return *p;
}
template <class T>
__attribute__((always_inline)) inline void __stcs(T* p, T v) {
  *p = v;
}
template <class T>
__attribute__((always_inline)) inline void __stcg(T* p, T v) {
  *p = v;
}
#define __builtin_assume(x) ((void)0)
