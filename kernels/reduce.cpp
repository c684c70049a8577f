#include "kernels/reduce.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

/// `part`'s axes are the last ones of `whole`.
void check_trailing(const char* op, const Tensor& whole, const Tensor& part) {
  const auto all = whole.shape().dims();
  const auto kept = part.shape().dims();
  check(kept.size() <= all.size() && std::ranges::equal(kept, all.last(kept.size())), op, ": ", part.shape(),
        " is not the end of ", whole.shape());
  check(whole.dtype() == part.dtype(), op, ": types differ: ", name_of(whole.dtype()), " and ", name_of(part.dtype()));
  check(whole.device() == part.device(), op, ": operands are on ", whole.device(), " and ", part.device());
}

}  // namespace

void sum(const Tensor& x, const Tensor& out) {
  check_trailing("sum", x, out);
  run_on<cpu::sum, cuda::sum>(x.device(), x, 1.0, out);
}

void mean(const Tensor& x, const Tensor& out) {
  check_trailing("mean", x, out);
  check(x.numel() > 0, "mean of an empty tensor ", x.shape());
  const double count = static_cast<double>(x.numel()) / static_cast<double>(out.numel());
  run_on<cpu::sum, cuda::sum>(x.device(), x, 1 / count, out);
}

void repeat(const Tensor& x, double factor, const Tensor& out) {
  check_trailing("repeat", out, x);
  run_on<cpu::repeat, cuda::repeat>(x.device(), x, factor, out);
}

}  // namespace earmark::kernels
