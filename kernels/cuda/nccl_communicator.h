// Ranks with a GPU each, whose tensors NCCL exchanges, on a stream of its own: what it has been asked for runs beside
// the current stream, which waits only where it needs a result. Everything that is not on the GPU goes through the
// communicator that the ranks have anyway. That is also how a rank that has died or hangs is noticed, and named: NCCL
// would wait for it for ever (kernels/rank_watch.h).
// One NCCL communicator serves all: two of them could wait for each other, where the GPUs do not begin their work in
// the same order. So a small exchange that the current stream waits for comes behind the gradients that were queued
// before.
#pragma once

#include <memory>

#include "kernels/communicator.h"

namespace earmark::kernels::cuda {

/// As on_device() of kernels/communicator.h, for GPU `device`. What is queued then and later is watched. While a graph
/// is recorded, calls become part of it, with the stream that they are made on as a branch. The graph goes first: NCCL,
/// where it is to end, waits until no graph holds calls of it.
std::shared_ptr<earmark::Communicator> make_nccl_communicator(std::shared_ptr<earmark::Communicator> ranks, int device);

}  // namespace earmark::kernels::cuda
