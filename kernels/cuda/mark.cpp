#include "kernels/cuda/mark.h"

#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {

std::shared_ptr<Event> mark() {
  auto event = std::make_shared<Event>();
  event->record();
  return event;
}

void wait_for(const Event& mark) { mark.synchronize(); }

}  // namespace earmark::kernels::cuda
