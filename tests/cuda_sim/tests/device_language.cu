// What nvcc has built in, against the definitions in the CUDA C++ programming guide.
#include <algorithm>
#include <limits>
#include <numeric>

#include "simulator.h"

extern __shared__ __align__(16) unsigned char earmark_dynamic_shared[];

namespace cudasim::testing {
namespace {

/// Runs f(thread) in one block and gives what each thread returned.
template <class F, class T>
__global__ void call(F f, T* out) {
  out[threadIdx.x] = f(static_cast<int>(threadIdx.x));
}
template <class F>
auto results(F f, unsigned threads = 32) {
  using T = decltype(f(0));
  const DeviceArray<T> out(threads);
  EXPECT_EQ(launch(call<F, T>, {.threads = threads}, f, out.data()), cudaSuccess);
  return out.values();
}

constexpr unsigned kAll = 0xffffffffU;

TEST(Warp, Shuffles) {
  const auto from = results([](int i) { return __shfl_sync(kAll, 10 * i, 5); });
  const auto rotated = results([](int i) { return __shfl_sync(kAll, i, i + 1, 8); });
  const auto up = results([](int i) { return __shfl_up_sync(kAll, i, 3, 8); });
  const auto across = results([](int i) { return __shfl_xor_sync(kAll, 1.5 * i, 17); });
  for (int i = 0; i < 32; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(from[at], 50);
    EXPECT_EQ(rotated[at], i % 8 == 7 ? i - 7 : i + 1);
    EXPECT_EQ(up[at], i % 8 < 3 ? i : i - 3);
    EXPECT_EQ(across[at], 1.5 * (i ^ 17));
  }
}

/// xor beyond a segment gives the lane's own value only where the partner lies in a later segment.
TEST(Warp, ShufflesAcrossSegments) {
  const auto across = results([](int i) { return __shfl_xor_sync(kAll, i, 8, 8); });
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(across[static_cast<std::size_t>(i)], i % 16 < 8 ? i : i - 8);
  }
}

TEST(Warp, Votes) {
  EXPECT_EQ(results([](int i) { return __ballot_sync(kAll, i % 3 == 0); })[7], 0x49249249U);
  EXPECT_EQ(results([](int i) { return i < 4 ? __ballot_sync(0xfU, i != 1) : 0U; })[2], 0xdU) << "part of a warp";
  EXPECT_EQ(results([](int) { return __ballot_sync(kAll, 1); }, 40)[39], 0xffU) << "a warp of eight lanes";
}

TEST(Warp, Reductions) {
  EXPECT_EQ(results([](int i) { return __reduce_min_sync(kAll, static_cast<unsigned>(i - 20)); })[3], 0U);
  EXPECT_EQ(results([](int i) { return __reduce_max_sync(kAll, static_cast<unsigned>(i - 20)); })[3], 0xffffffffU);
}

/// The old values that come back, and what is left in the end.
template <class T, class F>
void expect_atomic(T first, F f, T last) {
  const DeviceArray<T> place(std::vector<T>{first});
  T* const data = place.data();
  const std::vector<T> old = results([=](int i) { return f(data, static_cast<T>(i)); });
  EXPECT_EQ(place.values()[0], last);
  EXPECT_NE(std::find(old.begin(), old.end(), first), old.end()) << "one thread was the first";
}

TEST(Atomics, GiveTheOldValueAndKeepTheNew) {
  expect_atomic<int>(
      5, [](int* p, int i) { return atomicAdd(p, i); }, 501);
  expect_atomic<unsigned>(
      5, [](unsigned* p, unsigned i) { return atomicAdd(p, i); }, 501);
  expect_atomic<unsigned long long>(
      1ULL << 40U, [](unsigned long long* p, unsigned long long i) { return atomicAdd(p, i); }, (1ULL << 40U) + 496);
  expect_atomic<int>(
      5, [](int* p, int i) { return atomicMax(p, i); }, 31);
}

TEST(Atomics, SwapWhenTheOldValueIsTheExpected) {
  const DeviceArray<int> place(std::vector<int>{5});
  int* const data = place.data();
  const std::vector<int> old = results([=](int i) { return atomicCAS(data, 5, i + 100); });
  const int winner = place.values()[0] - 100;
  for (int i = 0; i < 32; ++i) {
    EXPECT_EQ(old[static_cast<std::size_t>(i)], i == winner ? 5 : winner + 100);
  }
}

TEST(Mathematics, AgreesWithTheHost) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NEAR(results([](int) { return __logf(2.0F); })[0], 0.6931472F, 1e-6F);
  EXPECT_EQ(results([](int) { return max(-3, 2) + min(-3, 2); })[0], -1);
  EXPECT_EQ(results([](int) { return max(1.5, 2.5) - min(1LL, 2LL); })[0], 1.5);
  EXPECT_EQ(results([](int) { return max(kNaN, 2.0F); })[0], 2.0F) << "as fmaxf";
}

/// 1 + 2^-12 squared is 1 + 2^-11 + 2^-24: rounded before the sum, the last part is lost.
TEST(Mathematics, RoundsProductsOnItsOwnWhenAsked) {
  const auto rest = [](int fused) {
    const float x = 1.0F + 0x1p-12F;
    return fused != 0 ? __fmaf_rn(x, x, -(1.0F + 0x1p-11F)) : __fadd_rn(__fmul_rn(x, x), -(1.0F + 0x1p-11F));
  };
  EXPECT_EQ(results(rest)[0], 0);
  EXPECT_EQ(results(rest)[1], 0x1p-24F);
}

TEST(Mathematics, CountsAndMovesBits) {
  EXPECT_EQ(results([](int) { return __popc(0xf0f0U) + __popcll(1ULL << 50U); })[0], 9);
  EXPECT_EQ(results([](int i) { return __ffs(i); })[0], 0);
  EXPECT_EQ(results([](int i) { return __ffs(i); })[12], 3);
  EXPECT_EQ(results([](int) { return __umulhi(0x80000000U, 6); })[0], 3U);
  EXPECT_EQ(results([](int) { return __float_as_uint(1.0F); })[0], 0x3f800000U);
  EXPECT_EQ(results([](int) { return __uint_as_float(0x40000000U); })[0], 2.0F);
}

__global__ void locate(int* out) {
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned at = block * blockDim.x * blockDim.y * blockDim.z + thread;
  out[at] = static_cast<int>(at);
}

TEST(Grid, HasThreeAxes) {
  const DeviceArray<int> out(std::vector<int>(2 * 3 * 5 * 4 * 3 * 2));
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(2, 3, 5);
  config.blockDim = dim3(4, 3, 2);
  ASSERT_EQ(cudaLaunchKernelEx(&config, locate, out.data()), cudaSuccess);
  std::vector<int> want(out.values().size());
  std::iota(want.begin(), want.end(), 0);
  EXPECT_EQ(out.values(), want);
}

template <class T>
__global__ void reverse_in_dynamic(const T* x, T* y) {
  T* const tile = reinterpret_cast<T*>(earmark_dynamic_shared);
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

TEST(SharedMemory, IsDynamicToo) {
  const std::vector<float> values = counted(100);
  const DeviceArray<float> x(values);
  const DeviceArray<float> y(100);
  launch(reverse_in_dynamic<float>, {.threads = 100, .shared = 400}, x.data(), y.data());
  EXPECT_EQ(y.values(), (std::vector<float>{values.rbegin(), values.rend()}));
}

/// Parameters are copied when the kernel is launched, not when it runs.
struct Big {
  float values[100];
};
__global__ void read_parameter(Big big, float* y) { y[threadIdx.x] = big.values[threadIdx.x]; }

TEST(Parameters, AreCopiedAtTheLaunch) {
  const DeviceArray<float> y(100);
  Big big{};
  std::iota(big.values, big.values + 100, 0.0F);
  launch(read_parameter, {.threads = 100}, big, y.data());
  big = {};
  EXPECT_EQ(y.values(), counted(100));
}

}  // namespace
}  // namespace cudasim::testing
