// Every product of the layer, forward and backward, is one kernel over (group, tile of the product): 64 x 32 of it in
// the registers of 128 threads, 4 x 4 each, operands through shared memory, 16 bytes a thread at a time, bias and
// activation before it is stored.
// The gradient before the activation is written out once: two products and the bias's sum read it.
// Floor on an H100 for x (512, 128, 48) to 32: 21 MB at 3.35 TB/s are 6 us, 0.2 GFLOP in float 3 us; backward reads and
// writes 44 MB, 13 us. Half of that is to be expected: the second of two tiles in depth is half empty, a block's loads
// and products follow each other, and 4 x 4 sums a thread take two 16-byte reads of shared memory for 16 multiply-adds.
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"
#include "kernels/dispatch_type.h"
#include "kernels/elementwise.h"
#include "kernels/grouped_linear.h"
#include "kernels/reduce.h"

namespace earmark::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRows = 64;
constexpr int kColumns = 32;
constexpr int kDepth = 32;
constexpr int kResident = 4;  // blocks of a multiprocessor, which leave a thread 128 registers

/// One side of the products of all groups: that of group 0, and how far on the next group's begins.
template <class T, Along along>
struct GroupedOperand {
  Operand<T, along> first;
  std::int64_t group_stride;

  __device__ __forceinline__ Operand<T, along> of(std::int64_t group) const {
    Operand<T, along> own = first;
    own.data += group * group_stride;
    return own;
  }
};

template <class T>
struct GroupedResult {
  T* data;
  std::int64_t row_stride;
  std::int64_t group_stride;
  bool wide;  // whether four neighbours may be stored at once

  GroupedResult(const Tensor& t, std::int64_t rows, std::int64_t groups)
      : data(t.mutable_data<T>()),
        row_stride(rows),
        group_stride(groups),
        wide(rows % 4 == 0 && groups % 4 == 0 && is_aligned<kVector<T>>(data)) {}
};

struct Identity {
  template <class T>
  __device__ __forceinline__ T operator()(T sum, std::int64_t /*group*/, std::int64_t /*column*/) const {
    return sum;
  }
};

template <class T>
struct BiasActivation {
  const T* bias;  // (groups, outputs)
  std::int64_t outputs;
  bool elu;

  __device__ __forceinline__ T operator()(T sum, std::int64_t group, std::int64_t column) const {
    const T z = sum + bias[group * outputs + column];
    return !elu || z > 0 ? z : expm1(z);
  }
};

/// out[group, r, c] = finish(inner product of line r of a and line c of b). Block: one tile of one group's product.
template <class T, Along left_along, Along right_along, class Finish>
__global__ void __launch_bounds__(kThreads, kResident)
    grouped_product_kernel(const GroupedOperand<T, left_along> a, const GroupedOperand<T, right_along> b,
                           const Finish finish, const GroupedResult<T> out) {
  __shared__ Tile<T, kRows, kDepth> left;
  __shared__ Tile<T, kColumns, kDepth> right;
  const std::int64_t row_tiles = (a.first.lines + kRows - 1) / kRows;
  const std::int64_t column_tiles = (b.first.lines + kColumns - 1) / kColumns;
  const std::int64_t group = blockIdx.x / (row_tiles * column_tiles);
  const std::int64_t tile = blockIdx.x % (row_tiles * column_tiles);
  const std::int64_t first_row = tile / column_tiles * kRows;
  const std::int64_t first_column = tile % column_tiles * kColumns;
  const int row = static_cast<int>(threadIdx.x) / (kColumns / 4) * 4;
  const int column = static_cast<int>(threadIdx.x) % (kColumns / 4) * 4;
  const Operand<T, left_along> rows = a.of(group);
  const Operand<T, right_along> columns = b.of(group);
  T sum[4][4] = {};
  for (std::int64_t k = 0; k < rows.depth; k += kDepth) {
    left.template load<kThreads>(rows, first_row, k);
    right.template load<kThreads>(columns, first_column, k);
    __syncthreads();
    multiply_add(left, row, right, column, sum);
    __syncthreads();
  }
  const std::int64_t c = first_column + column;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::int64_t r = first_row + row + i;
    if (r < rows.lines) {
      Vector<T, 4> line;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        line[j] = c + j < columns.lines ? finish(sum[i][j], group, c + j) : T{0};
      }
      store_some(out.data + group * out.group_stride + r * out.row_stride, c, columns.lines, out.wide, line);
    }
  }
}

template <class T, Along left, Along right, class Finish>
void multiply(std::int64_t groups, const GroupedOperand<T, left>& a, const GroupedOperand<T, right>& b,
              const Finish& finish, const GroupedResult<T>& out) {
  const std::int64_t row_tiles = (a.first.lines + kRows - 1) / kRows;
  const std::int64_t column_tiles = (b.first.lines + kColumns - 1) / kColumns;
  launch(grouped_product_kernel<T, left, right, Finish>, blocks(groups * row_tiles * column_tiles, kThreads), a, b,
         finish, out);
}

/// Rows of a (N, G, C) tensor as lines, one for each n; summed over its channels.
template <class T>
GroupedOperand<T, Along::depth> by_sample(const Tensor& t, const GroupedExtents& e, std::int64_t channels) {
  return {{t.data<T>(), e.n, channels, e.groups * channels}, channels};
}

/// The same tensor's channels as lines; summed over n.
template <class T>
GroupedOperand<T, Along::lines> by_channel(const Tensor& t, const GroupedExtents& e, std::int64_t channels) {
  return {{t.data<T>(), channels, e.n, e.groups * channels}, channels};
}

template <class T>
void forward(const GroupedLinear& a) {
  const GroupedExtents e(a);
  const std::int64_t weights = e.outputs * e.inputs;
  const GroupedOperand<T, Along::depth> w{{a.w.data<T>(), e.outputs, e.inputs, e.inputs}, weights};
  const BiasActivation<T> finish{a.b.data<T>(), e.outputs, a.activation == Activation::elu};
  multiply(e.groups, by_sample<T>(a.x, e, e.inputs), w, finish, {a.out, e.groups * e.outputs, e.outputs});
}

/// The gradient before the activation, (N, G, O).
template <class T>
Tensor activation_backward(const GroupedLinearBackward& a) {
  if (a.forward.activation == Activation::none) {
    return a.dout;
  }
  const Tensor dz = empty_like(a.dout);
  cuda::elu_backward(a.forward.out, a.dout, dz);
  return dz;
}

template <class T>
void backward(const GroupedLinearBackward& a) {
  const GroupedExtents e(a.forward);
  const std::int64_t weights = e.outputs * e.inputs;
  const Tensor dz = activation_backward<T>(a);
  cuda::sum(dz, 1, a.db);
  multiply(e.groups, by_channel<T>(dz, e, e.outputs), by_channel<T>(a.forward.x, e, e.inputs), Identity{},
           {a.dw, e.inputs, weights});
  if (a.dx) {
    const GroupedOperand<T, Along::lines> w{{a.forward.w.data<T>(), e.inputs, e.outputs, e.inputs}, weights};
    multiply(e.groups, by_sample<T>(dz, e, e.outputs), w, Identity{}, {a.dx, e.groups * e.inputs, e.inputs});
  }
}

}  // namespace

void grouped_linear(const GroupedLinear& a) {
  dispatch_float(a.x.dtype(), [&]<class T>() { forward<T>(a); });
}

void grouped_linear_backward(const GroupedLinearBackward& a) {
  dispatch_float(a.dout.dtype(), [&]<class T>() { backward<T>(a); });
}

}  // namespace earmark::kernels::cuda
