// Points in a stream that the host can wait for. Callable from anywhere, as kernels/cuda/memory.h.
#pragma once

#include <memory>

namespace earmark::kernels::cuda {

class Event;

/// Marks the end of what the current stream holds now.
std::shared_ptr<Event> mark();
/// Blocks the host until the stream has come as far as the mark; throws Error when what it did before failed.
void wait_for(const Event& mark);

}  // namespace earmark::kernels::cuda
