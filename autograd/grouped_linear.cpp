#include "kernels/grouped_linear.h"

#include "autograd/functions.h"
#include "autograd/reduction_groups.h"

namespace earmark {

Variable grouped_linear(const Variable& x, const Variable& w, const Variable& b, kernels::Activation activation) {
  check(x.shape().rank() == 3 && w.shape().rank() == 3, "grouped_linear: expected x (N, G, I) and w (G, O, I), got ",
        x.shape(), " and ", w.shape());
  const Tensor out({x.value().dim(0), x.value().dim(1), w.value().dim(1)}, x.value().dtype(), x.value().device());
  const kernels::GroupedLinear forward{x.value(), w.value(), b.value(), out, activation};
  kernels::grouped_linear(forward);
  return record("grouped_linear", out, {x, w, b},
                [forward, wanted = x.requires_grad(), groups = ReductionGroups::current()](const Tensor& dout) {
                  const Tensor dx = wanted ? empty_like(forward.x) : Tensor();
                  const std::vector<Tensor> sums = groups.sum(forward.x.dim(0), [&](const RowRange& rows) {
                    kernels::GroupedLinear part = forward;
                    part.x = rows.of(forward.x);
                    part.out = rows.of(forward.out);
                    const std::vector<Tensor> parameters{empty_like(forward.w), empty_like(forward.b)};
                    kernels::grouped_linear_backward({part, rows.of(dout), rows.of(dx), parameters[0], parameters[1]});
                    return parameters;
                  });
                  return std::vector{dx, sums[0], sums[1]};
                });
}

}  // namespace earmark
