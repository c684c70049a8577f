#include "kernels/nt_xent.h"

#include "autograd/functions.h"
#include "autograd/reduction_groups.h"
#include "kernels/elementwise.h"

namespace earmark {
namespace {

/// The loss of one group's anchors.
kernels::NtXent anchors_of_group(const kernels::NtXent& f, const RowRange& group) {
  kernels::NtXent part = f;
  part.anchors = group.of(f.anchors);
  part.offset = f.offset + group.begin;
  part.logsumexp = group.of(f.logsumexp);
  return part;
}

/// Loss and top-1: this process' share of the mean of all groups' ones.
void forward_by_groups(const kernels::NtXent& f, const ReductionGroups& groups) {
  const std::vector<Tensor> sums = groups.sum(f.anchors.dim(0), [&](const RowRange& group) {
    kernels::NtXent part = anchors_of_group(f, group);
    part.loss = empty_like(f.loss);
    part.top1 = empty_like(f.top1);
    kernels::nt_xent(part);
    return std::vector{part.loss, part.top1};
  });
  const double share = 1 / static_cast<double>(groups.all());
  kernels::scale(sums[0], share, f.loss);
  kernels::scale(sums[1], share, f.top1);
}

/// Gradients of anchors and keys. A group's keys are those of all, so that theirs is summed over the groups.
std::vector<Tensor> backward_by_groups(const kernels::NtXent& f, const ReductionGroups& groups, const Tensor& dloss) {
  const Tensor danchors = empty_like(f.anchors);
  const Tensor dmean = empty_like(dloss);
  kernels::scale(dloss, 1 / static_cast<double>(groups.all()), dmean);
  const std::vector<Tensor> sums = groups.sum(f.anchors.dim(0), [&](const RowRange& group) {
    const Tensor dkeys = empty_like(f.keys);
    kernels::nt_xent_backward({anchors_of_group(f, group), dmean, group.of(danchors), dkeys});
    return std::vector{dkeys};
  });
  return {danchors, sums[0]};
}

}  // namespace

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
  const ReductionGroups groups = ReductionGroups::current();
  groups.on() ? forward_by_groups(forward, groups) : kernels::nt_xent(forward);
  const Variable loss = record("nt_xent", forward.loss, {anchors, keys}, [forward, groups](const Tensor& dloss) {
    if (groups.on()) {
      return backward_by_groups(forward, groups, dloss);
    }
    const Tensor danchors = empty_like(forward.anchors);
    const Tensor dkeys = empty_like(forward.keys);
    kernels::nt_xent_backward({forward, dloss, danchors, dkeys});
    return std::vector{danchors, dkeys};
  });
  return {loss, forward.top1};
}

}  // namespace earmark
