// A stream of a thread's own, for code that includes no CUDA header: loaders' workers prepare batches beside the
// training step. Called under `if constexpr (kBuiltWithCuda)`, as kernels/cuda/memory.h.
#pragma once

#include <memory>

namespace earmark::kernels::cuda {

/// Until the handle goes, on the same thread, the calling thread's work for GPU `index` runs beside that of other
/// threads. Makes that GPU the current one; throws Error where there is none.
std::shared_ptr<void> own_stream(int index);

/// Blocks until what was queued on this thread's current stream is done; throws Error when any of it failed. Then
/// every stream may use, and release, what came of it.
void synchronize_stream();

}  // namespace earmark::kernels::cuda
