// bf16 on the CPU, whose kernels compute in float or double: a call with tensors in bf16 runs on float copies of them,
// and what it writes is rounded at the end. Plain and slow: it gives the numbers of bf16, not its speed.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "kernels/elementwise.h"

namespace earmark::kernels::cpu {

/// Runs `call` while the tensors in bf16 among `read` are float copies and those among `written` fresh float memory,
/// which is then rounded into what stood there. Handles that are empty or of another type stay as they are.
template <class F>
void in_float(std::initializer_list<Tensor*> read, std::initializer_list<Tensor*> written, const F& call) {
  const auto narrow = [](const Tensor* t) { return *t && t->dtype() == DType::bf16; };
  std::vector<std::pair<Tensor, Tensor>> to_round;
  for (Tensor* t : read) {
    if (narrow(t)) {
      const Tensor wide(t->shape(), DType::f32);
      cast(*t, wide);
      *t = wide;
    }
  }
  for (Tensor* t : written) {
    if (narrow(t)) {
      const Tensor wide(t->shape(), DType::f32);
      to_round.emplace_back(wide, *t);
      *t = wide;
    }
  }
  call();
  for (const auto& [wide, rounded] : to_round) {
    cast(wide, rounded);
  }
}

}  // namespace earmark::kernels::cpu
