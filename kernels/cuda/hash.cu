// A warp holds a point in registers, element 32 * i + lane in lane `lane`, and turns it once for every function of its
// tables: signs are a product, steps of the Hadamard transform below 32 are shuffles, those above stay in a lane.
// Values are multiplied, added and subtracted in the CPU's order, so that buckets are the CPU's, whichever way a tie
// falls. Floor for n points of 128 elements, 50 tables of 3 functions: n * (512 + 200) bytes over 3.35 TB/s, and 150 *
// 896 additions over 33 T/s (an H100 has half its 67 TFLOP/s where nothing is multiplied): 4 ns a point. The 20
// shuffles of a transform, one a cycle and multiprocessor, are the larger part: 13 ns,
// so that a third of the floor in additions is to be expected.
#include "kernels/cuda/rotation.cuh"

namespace earmark::kernels::cuda {
namespace {

constexpr int kWarps = 8;           // of a block
constexpr int kTablesPerWarp = 32;  // a lane keeps the bucket of one, and all are written together

/// 2 * (coordinate of largest magnitude) + (1 where it is negative); of equal magnitudes the first. NaN is never the
/// largest, and where all are NaN it is the last coordinate. Magnitudes are compared as the integers that their bits
/// are, which have the same order.
template <int Registers>
__device__ __forceinline__ int vertex(const float (&x)[Registers], int coordinates) {
  const int lane = threadIdx.x % 32;
  float largest = 0;
#pragma unroll
  for (int i = 0; i < Registers; ++i) {
    largest = 32 * i + lane < coordinates ? fmaxf(largest, fabsf(x[i])) : largest;
  }
  largest = __uint_as_float(__reduce_max_sync(0xffffffffU, __float_as_uint(largest)));
  constexpr unsigned kNone = 0xffffffffU;
  unsigned first = kNone;
#pragma unroll
  for (int i = Registers - 1; i >= 0; --i) {
    const int j = 32 * i + lane;
    if (j < coordinates && fabsf(x[i]) == largest) {
      first = static_cast<unsigned>(2 * j + (x[i] < 0 ? 1 : 0));
    }
  }
  first = __reduce_min_sync(0xffffffffU, first);
  return first == kNone ? 2 * (coordinates - 1) : static_cast<int>(first);
}

/// Block (i, j): a point for each warp, the kTablesPerWarp tables of group j. What does not depend on the warp decides
/// how often anything loops, so that the compiler knows all lanes are there to shuffle; a warp without a point repeats
/// the last one.
template <int Registers>
__global__ void __launch_bounds__(32 * kWarps)
    hash_kernel(const float* points, std::int64_t count, std::int64_t d, Rotations r, std::int32_t* buckets) {
  const int lane = threadIdx.x % 32;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTablesPerWarp;
  const int here = static_cast<int>(r.tables - first < kTablesPerWarp ? r.tables - first : kTablesPerWarp);
  const std::int64_t step = static_cast<std::int64_t>(r.rotations) * r.n;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kWarps; i < count; i += gridDim.x * kWarps) {
    const std::int64_t point = i + threadIdx.x / 32;
    float x[Registers];
    read_point(points + (point < count ? point : count - 1) * d, d, x);
    int mine = 0;
    for (int t = 0; t < here; ++t) {
      int bucket = 0;
      for (int function = 0; function < r.functions; ++function) {
        const int coordinates = function + 1 == r.functions ? r.last_dimension : r.n;
        float turned[Registers];
#pragma unroll
        for (int k = 0; k < Registers; ++k) {
          turned[k] = x[k];
        }
        rotate(turned, r, r.signs + ((first + t) * r.functions + function) * step);
        bucket = bucket * 2 * coordinates + vertex(turned, coordinates);
      }
      mine = t == lane ? bucket : mine;
    }
    if (point < count && lane < here) {
      buckets[point * r.tables + first + lane] = mine;
    }
  }
}

/// A warp, which is the block, for each function of each table: out (tables, functions, n).
template <int Registers>
__global__ void __launch_bounds__(32) rotate_kernel(const float* point, std::int64_t d, Rotations r, float* out) {
  const std::int64_t which = blockIdx.x;
  float x[Registers];
  read_point(point, d, x);
  rotate(x, r, r.signs + which * r.rotations * r.n);
#pragma unroll
  for (int i = 0; i < Registers; ++i) {
    const int j = 32 * i + static_cast<int>(threadIdx.x);
    if (Registers > 1 || j < r.n) {
      out[which * r.n + j] = x[i];
    }
  }
}

}  // namespace

void cross_polytope_hash(const CrossPolytopeHash& args) {
  const std::int64_t count = args.points.dim(0);
  const std::int64_t tables = args.buckets.dim(1);
  const Tensor signs = args.family->signs.slice(args.first_table, args.first_table + tables).to(args.points.device());
  const Rotations r = rotations_of(*args.family, signs);
  const auto groups = static_cast<unsigned>((tables + kTablesPerWarp - 1) / kTablesPerWarp);
  const Grid over_points = over(32 * count, 32 * kWarps);
  with_registers(r.n, [&]<int Registers>() {
    launch(hash_kernel<Registers>, {.grid = dim3(over_points.grid.x, groups), .block = over_points.block},
           args.points.data<float>(), count, args.points.dim(1), r, args.buckets.mutable_data<std::int32_t>());
  });
}

void pseudo_rotate(const Tensor& point, const HashFamily& family, const Tensor& out) {
  const Tensor signs = family.signs.to(point.device());
  const Rotations r = rotations_of(family, signs);
  with_registers(r.n, [&]<int Registers>() {
    launch(rotate_kernel<Registers>, blocks(r.tables * r.functions, 32), point.data<float>(), point.numel(), r,
           out.mutable_data<float>());
  });
}

}  // namespace earmark::kernels::cuda
