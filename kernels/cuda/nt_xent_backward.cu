// A block makes a tile of similarities again (nt_xent.cuh), turns it into weights in shared memory and multiplies those
// by the other side's embeddings: once with anchors for rows and once with keys, since only atomics could let one block
// add to both. Up to 128 columns of 64 rows' gradients stay in its registers; where the rows alone are too few blocks,
// the other side is split, and a last kernel adds the parts up in order.
// Floor on an H100 for 2N = 16,384 and D = 128: 275 GFLOP in float at 67 TFLOP/s are 4.1 ms; the 8 MB of embeddings,
// 2.5 us at 3.35 TB/s, stay in the L2 cache. For 2N = 512 it is 4 us, as long as the four launches. Half of that rate
// is to be expected, as in the forward pass; weights go into shared memory four lanes to a bank, 3 % of all passes over
// it.
#include "kernels/cuda/nt_xent.cuh"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cuda {
namespace {

using namespace similarity;

constexpr int kSlabs = 2;  // of kSide columns of the gradient in the registers of a block

template <class T>
struct Shared {
  Pieces<T> pieces;
  Piece<T> weights[kSide / kDepth];
};

/// d loss / d similarity of one anchor and one key, from their inner product: (softmax - one at the positive) * factor.
template <class T>
__device__ __forceinline__ T weight(const Sides<T>& sides, std::int64_t anchor, std::int64_t key, T product,
                                    const T* logsumexp, T factor) {
  // How far the key is from the anchor's own, which leaves nothing to keep for each anchor from tile to tile.
  const std::int64_t from_self = key - anchor - sides.offset;
  if (anchor >= sides.anchors.lines || key >= sides.keys.lines || from_self == 0) {
    return 0;
  }
  const T share = factor * exp(scaled(product, sides.scale) - logsumexp[anchor]);
  const std::int64_t half = sides.anchors.lines / 2;
  return from_self == (anchor < half ? half : -half) ? share - factor : share;
}

/// out (parts, rows, D) = gradients of the rows, which are the anchors or the keys, over the other side's parts. Block:
/// 64 rows, one part, kSlabs * kSide of the D columns. `wide`: D is a multiple of 4 and `out` is aligned for it.
template <class T, bool of_anchors>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 ? 2 : 1)
    nt_xent_gradient_kernel(const Sides<T> sides, const Split split, const T* logsumexp, const T* dloss,
                            double loss_factor, T* out, bool wide) {
  Shared<T>& shared = *dynamic_shared<Shared<T>>();
  const Embeddings<T>& rows = of_anchors ? sides.anchors : sides.keys;
  const Embeddings<T>& columns = of_anchors ? sides.keys : sides.anchors;
  const Operand<T, Along::lines> values{columns.data, columns.depth, columns.lines, columns.depth};
  const std::int64_t part = blockIdx.x / split.row_tiles;
  const std::int64_t first_row = blockIdx.x % split.row_tiles * kSide;
  const std::int64_t first_value = static_cast<std::int64_t>(blockIdx.y) * kSlabs * kSide;
  const int row = static_cast<int>(threadIdx.x) / kLanes * 4;
  const int column = static_cast<int>(threadIdx.x) % kLanes * 4;
  const T factor = static_cast<T>(static_cast<double>(*dloss) * loss_factor);
  T sum[kSlabs][4][4] = {};
  for (std::int64_t tile = part * split.part_tiles; tile < split.end(part); ++tile) {
    T products[4][4] = {};
    inner_products(rows, first_row, columns, tile * kSide, shared.pieces, products);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      T line[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int64_t r = first_row + row + i;
        const std::int64_t c = tile * kSide + column + j;
        line[i] = weight(sides, of_anchors ? r : c, of_anchors ? c : r, products[i][j], logsumexp, factor);
      }
      store_four(&shared.weights[column / kDepth].at[column % kDepth + j][row], line);
    }
#pragma unroll 1
    for (int piece = 0; piece < kSide / kDepth; ++piece) {
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        if (first_value + slab * kSide < rows.depth) {  // the same for the whole block
          shared.pieces.right.template load<kThreads>(values, first_value + slab * kSide,
                                                      tile * kSide + piece * kDepth);
          __syncthreads();
          multiply_add(shared.weights[piece], row, shared.pieces.right, column, sum[slab]);
          __syncthreads();
        }
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kSlabs * 4; ++e) {
    const std::int64_t r = first_row + row + e % 4;
    const std::int64_t c = first_value + e / 4 * kSide + column;
    if (r < rows.lines) {
      const T(&line)[4] = sum[e / 4][e % 4];
      store_some(out + (part * rows.lines + r) * rows.depth, c, rows.depth, wide,
                 Vector<T, 4>{{line[0], line[1], line[2], line[3]}});
    }
  }
}

/// out (count) = sum of partials (parts, count) over the parts. `wide`: count is a multiple of what 16 bytes hold, and
/// both are aligned for it.
template <class T>
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const T* partials, std::int64_t parts, std::int64_t count, T* out, bool wide) {
  constexpr int N = kVector<T>;
  for (std::int64_t i = N * thread_index(); i < count; i += N * thread_count()) {
    double totals[N] = {};
    for (std::int64_t part = 0; part < parts; ++part) {
      const Vector<T, N> values = load_some<N>(partials + part * count, i, count, wide);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        totals[k] += static_cast<double>(values[k]);
      }
    }
    Vector<T, N> sums;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[k] = static_cast<T>(totals[k]);
    }
    store_some(out, i, count, wide, sums);
  }
}

/// The gradient of one side's embeddings.
template <class T, bool of_anchors>
void gradient(const NtXentBackward& b, const Tensor& out) {
  const NtXent& a = b.forward;
  const std::int64_t rows = out.dim(0);
  const std::int64_t depth = out.dim(1);
  const Split split(rows, of_anchors ? a.keys.dim(0) : a.anchors.dim(0));
  const Tensor partials = split.parts == 1 ? out : Tensor({split.parts, rows, depth}, out.dtype(), out.device());
  Grid grid = blocks(split.row_tiles * split.parts, kThreads, sizeof(Shared<T>));
  grid.grid.y = static_cast<unsigned>((depth + kSlabs * kSide - 1) / (kSlabs * kSide));
  const double loss_factor = 1 / (static_cast<double>(a.anchors.dim(0)) * a.temperature);
  launch(nt_xent_gradient_kernel<T, of_anchors>, grid, Sides<T>(a), split, a.logsumexp.data<T>(), b.dloss.data<T>(),
         loss_factor, partials.mutable_data<T>(), depth % 4 == 0 && is_aligned<kVector<T>>(partials.data<T>()));
  if (split.parts > 1) {
    constexpr int kWide = kVector<T>;
    const std::int64_t count = out.numel();
    const bool wide = count % kWide == 0 && is_aligned<kWide>(partials.data<T>()) && is_aligned<kWide>(out.data<T>());
    launch(add_parts_kernel<T>, over((count + kWide - 1) / kWide, kThreads), partials.data<T>(), split.parts, count,
           out.mutable_data<T>(), wide);
  }
}

}  // namespace

void nt_xent_backward(const NtXentBackward& a) {
  dispatch_float(a.forward.anchors.dtype(), [&]<class T>() {
    gradient<T, true>(a, a.danchors);
    gradient<T, false>(a, a.dkeys);
  });
}

}  // namespace earmark::kernels::cuda
