// Which rank keeps which part of an optimiser's state, where the ranks divide it (ZeRO's first stage: Rajbhandari et
// al., SC 2020, arXiv 1910.02054), and how what each rank has of the whole reaches the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "kernels/communicator.h"

namespace earmark::train {

/// Elements [begin, end) of a parameter, in the order of its memory.
struct ParameterPiece {
  std::size_t parameter = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size() const { return end - begin; }
  bool operator==(const ParameterPiece&) const = default;
};

/// Those elements of `whole`, a tensor of the parameter's shape: (size), sharing memory.
Tensor piece_of(const Tensor& whole, const ParameterPiece& piece);

/// What is shared out of one parameter.
struct SharedParameter {
  std::int64_t elements = 0;
  std::int64_t grain = 1;  ///< It is cut at multiples of this only.
};

/// A rank's pieces, in the order of the parameters.
using Share = std::vector<ParameterPiece>;
std::int64_t elements_of(const Share& share);

/// Divides all elements in the order of the parameters among `ranks`, so that the largest share is as small as the
/// grains allow. The last shares may be empty.
std::vector<Share> share_out(std::span<const SharedParameter> parameters, int ranks);

/// What every rank has of its own share reaches the others, some megabytes at a time: all call it together. `place`
/// says where piece i of a rank's share is: read where that is this rank, otherwise written, or left out where it gives
/// no tensor. All of one type, on `device` or the host. Throws Error as the communicator does.
void exchange_shares(Communicator& ranks, const std::vector<Share>& shares, DType dtype, Device device,
                     const std::function<Tensor(int rank, std::size_t i)>& place);

}  // namespace earmark::train
