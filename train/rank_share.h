// What part of some work is a process' own.
#pragma once

#include "data/pair_sampler.h"
#include "kernels/communicator.h"
#include "nn/model.h"

namespace earmark::train {

/// Of `count` things in a row, those that are rank `rank`'s of `size`.
inline data::PairRange share_of(std::int64_t count, int rank, int size) {
  return {count * rank / size, count * (rank + 1) / size};
}

/// This process' own.
inline data::PairRange own_share(std::int64_t count, const Communicator& ranks) {
  return share_of(count, ranks.rank(), ranks.size());
}

/// Running statistics, which are each rank's own where they are not shared, become rank 0's.
inline void take_first_buffers(const nn::Model& model, Communicator& ranks) {
  for (const nn::NamedBuffer& buffer : model.encoder->buffers()) {
    ranks.broadcast(buffer.tensor, 0);
  }
  model.encoder->weights_changed();
}

}  // namespace earmark::train
