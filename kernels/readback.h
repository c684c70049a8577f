// Numbers on their way from a device to the host while both go on with their work: what a training step reports.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace earmark {

namespace kernels::cuda {
class Event;
}

class Readback {
 public:
  /// Queues a copy of `numbers`, tensors of one element each, f32 or f64, of one device, behind the work that it has to
  /// do by now.
  void push(std::span<const Tensor> numbers);
  /// How often push() was called without a take() since.
  std::size_t waiting() const { return waiting_.size(); }
  /// The numbers of the oldest push that was not taken yet; waits for them. Throws Error where there is none, and where
  /// the device failed at what it did before.
  std::vector<double> take();

 private:
  struct Sent {
    std::vector<DType> types;
    Tensor cells;                                // (numbers) f64 in page-locked memory, each as wide as its type
    std::shared_ptr<kernels::cuda::Event> mark;  // none on the CPU
  };
  Tensor cells_for(std::size_t count, Device device);

  std::deque<Sent> waiting_;
  std::vector<Tensor> spare_;  // page-locking is slow: cells are used again
};

}  // namespace earmark
