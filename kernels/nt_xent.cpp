#include "kernels/nt_xent.h"

#include "kernels/dispatch.h"

namespace earmark::kernels {
namespace {

void check_nt_xent_operand(const char* name, const Tensor& t, const Shape& shape, const Tensor& anchors) {
  check(t.shape() == shape && t.dtype() == anchors.dtype() && t.device() == anchors.device(), "nt_xent: expected ",
        name, " ", name_of(anchors.dtype()), shape, ", got ", name_of(t.dtype()), t.shape());
}

void check_nt_xent(const NtXent& a) {
  check(a.anchors.shape().rank() == 2 && a.keys.shape().rank() == 2 && a.anchors.dim(1) == a.keys.dim(1),
        "nt_xent: expected anchors (2P, D) and keys (M, D), got ", a.anchors.shape(), " and ", a.keys.shape());
  const std::int64_t anchors = a.anchors.dim(0);
  check(anchors >= 2 && anchors % 2 == 0, "nt_xent: anchors are two views of each pair, got ", anchors, " rows");
  check(a.offset >= 0 && a.offset + anchors <= a.keys.dim(0), "nt_xent: anchors are rows ", a.offset, " to ",
        a.offset + anchors, " of the keys, which have ", a.keys.dim(0));
  check(a.temperature >= 0.01, "nt_xent: temperature must be at least 0.01, got ", a.temperature);
  check_nt_xent_operand("keys", a.keys, a.keys.shape(), a.anchors);
  check_nt_xent_operand("logsumexp", a.logsumexp, {anchors}, a.anchors);
  check_nt_xent_operand("loss", a.loss, {}, a.anchors);
  check_nt_xent_operand("top1", a.top1, {}, a.anchors);
}

}  // namespace

void nt_xent(const NtXent& a) {
  check_nt_xent(a);
  run_on<cpu::nt_xent, cuda::nt_xent>(a.anchors.device(), a);
}

void nt_xent_backward(const NtXentBackward& a) {
  check_nt_xent(a.forward);
  const Tensor& anchors = a.forward.anchors;
  check_nt_xent_operand("dloss", a.dloss, {}, anchors);
  check_nt_xent_operand("danchors", a.danchors, anchors.shape(), anchors);
  check_nt_xent_operand("dkeys", a.dkeys, a.forward.keys.shape(), anchors);
  run_on<cpu::nt_xent_backward, cuda::nt_xent_backward>(anchors.device(), a);
}

}  // namespace earmark::kernels
