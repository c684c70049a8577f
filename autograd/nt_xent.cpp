#include "kernels/nt_xent.h"

#include "autograd/functions.h"

namespace earmark {

NtXentResult nt_xent(const Variable& embeddings, double temperature) {
  return nt_xent(embeddings, embeddings, 0, temperature);
}

NtXentResult nt_xent(const Variable& anchors, const Variable& keys, std::int64_t offset, double temperature) {
  check(anchors.shape().rank() == 2, "nt_xent: expected anchors (2P, D), got ", anchors.shape());
  const DType dtype = anchors.value().dtype();
  const Device device = anchors.value().device();
  const kernels::NtXent forward{.anchors = anchors.value(),
                                .keys = keys.value(),
                                .offset = offset,
                                .temperature = temperature,
                                .loss = Tensor({}, dtype, device),
                                .top1 = Tensor({}, dtype, device),
                                .logsumexp = Tensor({anchors.value().dim(0)}, dtype, device)};
  kernels::nt_xent(forward);
  const Variable loss = record("nt_xent", forward.loss, {anchors, keys}, [forward](const Tensor& dloss) {
    const Tensor danchors = empty_like(forward.anchors);
    const Tensor dkeys = empty_like(forward.keys);
    kernels::nt_xent_backward({forward, dloss, danchors, dkeys});
    return std::vector{danchors, dkeys};
  });
  return {loss, forward.top1};
}

}  // namespace earmark
