// The paper's encoder (Singh, Demuynck, Arora, ISMIR 2022): a front-end convolution, six residual blocks with
// spectral-temporal attention, and a divide-and-encode head.
//   front: ReLU(BN(Conv3x3(x)))
//   block: y = attention1(ReLU(BN(Conv3x3(x, stride)))); y = BN(Conv3x3(y)) + identity(x); attention2(ReLU(y))
//   head:  flattened in C, F, T order; D groups of linear -> ELU -> linear to one value each; rows of length 1
// Channels width · (1, 2, 4, ..., 32); stride 1 in block 1 and 2 in the others, whose identity is a strided 1x1
// convolution.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "autograd/batch_norm.h"
#include "autograd/conv.h"
#include "autograd/spectral_temporal_attention.h"
#include "nn/divide_and_encode.h"
#include "nn/encoder.h"

namespace earmark::nn {

class AttentionEncoder final : public Encoder {
 public:
  static constexpr int kBlocks = 6;
  static constexpr std::size_t kSingleBlocks = 3;  ///< At first, that see one sample at a time (embed_in_groups.h).

  AttentionEncoder(const EncoderOptions& options, std::uint64_t seed, DType dtype);

  Variable forward(const Variable& x) override;
  Tensor embed(const Tensor& x) const override;
  std::vector<AttentionMaps> attention_maps(const Tensor& x) const override;

 private:
  struct ConvNorm {
    Variable weight;  // (O, 3, 3, I)
    Variable bias;    // (O)
    Variable gamma;   // (O)
    Variable beta;    // (O)
    RunningStatistics running;
    std::size_t first_buffer = 0;  // of the two in buffers() that `running` has
    ConvOptions options;
  };
  struct Gate {
    std::string name;   // "block3.attention2"
    Variable spectral;  // (C, T)
    Variable temporal;  // (C, F)
    AttentionOptions options;
  };
  struct Block {
    ConvNorm first;
    ConvNorm second;
    Variable identity_weight;  // (O, 1, 1, I), or none: x itself
    Variable identity_bias;    // (O)
    ConvOptions identity_options;
    std::optional<Gate> attention1;
    std::optional<Gate> attention2;
  };
  /// Draws starting values while the network is put together.
  struct Initialiser;
  /// A convolution that has swallowed its batch normalisation, and all of them.
  struct FoldedConv;
  struct Folded;

  ConvNorm make_conv_norm(const Initialiser& init, const std::string& conv, const std::string& norm, int inputs,
                          int outputs, int stride);
  Gate make_gate(const Initialiser& init, const std::string& name, int channels, int bands, int frames);
  Block make_block(const Initialiser& init, int index, int& bands, int& frames);
  void make_head(const Initialiser& init);

  /// attention(ReLU(BN(conv(x)) [+ residual])), the attention where there is a gate.
  Variable stage(const ConvNorm& layer, const Variable& x, const Variable& residual,
                 const std::optional<Gate>& gate) const;
  Variable block(const Block& layers, const Variable& x) const;
  std::shared_ptr<const Folded> folded() const;
  static FoldedConv fold(const ConvNorm& layer);
  static const char* block_name(std::size_t index);  ///< For profilers: "block 1".
  /// In place; where `maps` is given, what was done is added to it.
  static void attend(const std::optional<Gate>& gate, const Tensor& y, std::vector<AttentionMaps>* maps);
  Tensor embed_block(const Folded& folded, std::size_t index, const Tensor& x,
                     std::vector<AttentionMaps>* maps = nullptr) const;
  Tensor embed_first_blocks(const Folded& folded, const Tensor& x) const;
  Tensor embed_last_blocks(const Folded& folded, Tensor y) const;
  void buffers_moved() override;
  void take_buffers(ConvNorm& layer);

  ConvNorm front_;
  std::array<Block, kBlocks> blocks_;
  DivideAndEncode head_;

  mutable std::mutex folded_mutex_;
  mutable std::shared_ptr<const Folded> folded_;
  mutable std::uint64_t folded_version_ = 0;
};

}  // namespace earmark::nn
