// A graph of convolutions and pointwise functions as cuDNN's backend API describes it, and its execution by plain
// loops.
#pragma once

#include <library_types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <variant>
#include <vector>

namespace cudasim {

/// Four axes: samples, channels, rows, columns (weights: outputs, inputs, rows, columns), in any order in memory.
struct GraphTensor {
  std::int64_t id = 0;
  cudaDataType type = CUDA_R_32F;
  std::array<std::int64_t, 4> extent{};
  std::array<std::int64_t, 4> stride{};
  std::int64_t alignment = 1;
  bool is_virtual = false;  ///< A value between two operations: it has no place in device memory.

  std::size_t bytes() const;
};

enum class Pass { forward, input_gradient, weight_gradient };

/// y[n,k,p,q] = sum_{c,r,s} x[n, c, p*stride+r*dilation-padding, ...] * w[k,c,r,s], or its derivative by x or w. The
/// one of the three that `pass` computes becomes alpha * result + beta * what it was.
struct Convolution {
  Pass pass = Pass::forward;
  GraphTensor x;
  GraphTensor w;
  GraphTensor y;
  std::array<std::int64_t, 2> padding{};
  std::array<std::int64_t, 2> stride{};
  std::array<std::int64_t, 2> dilation{};
  double alpha = 1;
  double beta = 0;
};

/// y = a + b, with axes of b of extent 1 repeated; or y = max(a, 0), of which NaN is NaN.
struct Pointwise {
  bool relu = false;
  GraphTensor a;
  GraphTensor b;  ///< Unused by relu.
  GraphTensor y;
};

using Operation = std::variant<Convolution, Pointwise>;

struct Graph {
  std::vector<Operation> operations;  ///< Each after those whose results it takes.
};

/// Where the tensors of a graph that runs are.
class Bindings {
 public:
  void bind(std::int64_t id, void* place) { given_[id] = place; }
  /// Throws std::runtime_error where a tensor that is not virtual has no place, or one that is not aligned.
  void check(const Graph& graph) const;
  void* operator()(const GraphTensor& tensor);

 private:
  std::map<std::int64_t, void*> given_;
  std::map<std::int64_t, std::vector<char>> made_;
};

void run(const Graph& graph, Bindings& places);

}  // namespace cudasim
