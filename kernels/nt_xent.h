// NT-Xent, the contrastive loss of SimCLR (Chen et al., ICML 2020, eq. 1), over unit embeddings:
//   loss = mean over anchors i of  logsumexp_{k != self(i)} <a_i, k> / tau  -  <a_i, positive(i)> / tau.
// Anchors are the two views of P pairs, first views before second views, (2P, D). Keys are what they are told apart
// from, (M, D): in training on one device the anchors themselves; on several, the gathered anchors of every rank, rank
// after rank, of which this rank's begin at row `offset`. So self(i) = offset + i and positive(i) = offset + (i + P)
// mod 2P. The mean of the ranks' losses is then the loss of the whole batch, and their gradients with respect to the
// keys add up to its gradient. The similarities are made tile by tile (running logsumexp of Milakov & Gimelshein, 2018)
// and made again by the backward pass: the 2P x M matrix is never stored.
#pragma once

#include "kernels/tensor.h"

namespace earmark::kernels {

struct NtXent {
  Tensor anchors;            // (2P, D), unit rows
  Tensor keys;               // (M, D), unit rows; rows [offset, offset + 2P) hold the anchors
  std::int64_t offset = 0;   //
  double temperature = 0.1;  // tau, at least 0.01
  Tensor loss;               // written: ()
  Tensor top1;               // written: (), share of anchors whose positive is strictly nearer than every other key
  Tensor logsumexp;          // written: (2P)
};
void nt_xent(const NtXent& a);

struct NtXentBackward {
  NtXent forward;   // as left by nt_xent
  Tensor dloss;     // ()
  Tensor danchors;  // written: (2P, D)
  Tensor dkeys;     // written: (M, D)
};
void nt_xent_backward(const NtXentBackward& a);

namespace cpu {
void nt_xent(const NtXent& a);
void nt_xent_backward(const NtXentBackward& a);
}  // namespace cpu
namespace cuda {
void nt_xent(const NtXent& a);
void nt_xent_backward(const NtXentBackward& a);
}  // namespace cuda

}  // namespace earmark::kernels
