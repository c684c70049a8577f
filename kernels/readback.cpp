#include "kernels/readback.h"

#include <cstring>
#include <utility>

#include "kernels/cuda/mark.h"
#include "kernels/dispatch.h"

namespace earmark {

Tensor Readback::cells_for(std::size_t count, Device device) {
  const Shape shape{static_cast<std::int64_t>(count)};
  if (!spare_.empty() && spare_.back().shape() == shape) {
    const Tensor cells = spare_.back();
    spare_.pop_back();
    return cells;
  }
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      const std::shared_ptr<void> block = kernels::cuda::pinned(count * sizeof(double));
      return {shape, DType::f64, block.get(), block};
    }
  }
  check(device.backend == Backend::cpu, "this build has no CUDA backend");
  return Tensor(shape, DType::f64);
}

void Readback::push(std::span<const Tensor> numbers) {
  check(!numbers.empty(), "readback: no numbers");
  const Device device = numbers.front().device();
  Sent sent{{}, cells_for(numbers.size(), device), {}};
  std::byte* to = sent.cells.raw();
  for (const Tensor& number : numbers) {
    check(number.numel() == 1 && number.device() == device &&
              (number.dtype() == DType::f32 || number.dtype() == DType::f64),
          "readback: expected one f32 or f64 on ", device, ", got ", name_of(number.dtype()), number.shape(), " on ",
          number.device());
    sent.types.push_back(number.dtype());
    if constexpr (kBuiltWithCuda) {
      if (device.backend == Backend::cuda) {
        kernels::cuda::make_current(device.index);
        kernels::cuda::copy_async(to, number.raw(), number.bytes());
      }
    }
    if (device.backend == Backend::cpu) {
      std::memcpy(to, number.raw(), number.bytes());
    }
    to += sizeof(double);
  }
  if constexpr (kBuiltWithCuda) {
    if (device.backend == Backend::cuda) {
      sent.mark = kernels::cuda::mark();
    }
  }
  waiting_.push_back(std::move(sent));
}

std::vector<double> Readback::take() {
  check(!waiting_.empty(), "readback: nothing was sent");
  const Sent sent = std::move(waiting_.front());
  waiting_.pop_front();
  if constexpr (kBuiltWithCuda) {
    if (sent.mark) {
      kernels::cuda::wait_for(*sent.mark);
    }
  }
  std::vector<double> values;
  const std::byte* from = sent.cells.raw();
  for (const DType type : sent.types) {
    dispatch_float(type, [&]<class T>() {
      T value = 0;
      std::memcpy(&value, from, sizeof value);
      values.push_back(static_cast<double>(value));
    });
    from += sizeof(double);
  }
  spare_.push_back(sent.cells);
  return values;
}

}  // namespace earmark
