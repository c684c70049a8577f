// The encoder of Neural Audio Fingerprint (Chang et al., ICASSP 2021, arXiv 2010.11910, and its authors' code): eight
// blocks of separable convolutions, and a divide-and-encode head.
//   block: y = LN(ELU(Conv1x3(x, time stride))); LN(ELU(Conv3x1(y, frequency stride 2)))
//   head:  flattened in F, T, C order; D groups of linear -> ELU -> linear to one value each; rows of length 1
// Channels width · (1, 1, 2, 2, 4, 4, 8, 8), width 128 in the paper; time stride 2 but in blocks 5 and 7; "same"
// padding. LN normalises all of a sample, with a gain and an offset for each of its elements. Convolutions and linear
// layers start uniform in ±sqrt(6 / (fan-in + fan-out)) (Glorot & Bengio 2010), biases at 0: Keras' defaults. 256
// bands x 32 frames, its second of sound, make 16,939,008 parameters; x 63, two seconds, the 19,224,576 that the
// authors' code names.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>

#include "autograd/conv.h"
#include "nn/divide_and_encode.h"
#include "nn/encoder.h"

namespace earmark::nn {

class NafpEncoder final : public Encoder {
 public:
  static constexpr int kBlocks = 8;
  static constexpr std::size_t kSingleBlocks = 4;  ///< At first, that see one sample at a time (embed_in_groups.h).

  NafpEncoder(const EncoderOptions& options, std::uint64_t seed, DType dtype);

  Variable forward(const Variable& x) override;
  Tensor embed(const Tensor& x) const override;

 private:
  /// LN(ELU(conv(x)))
  struct Layer {
    Variable weight;  // (O, 1, 3, I) or (O, 3, 1, I)
    Variable bias;    // (O)
    Variable gamma;   // (F', T', O)
    Variable beta;    // (F', T', O)
    ConvOptions options;
  };
  struct Block {
    Layer along_time;
    Layer along_frequency;
  };
  /// Weights in the form that convolutions read, of both layers of every block.
  struct Prepared;
  /// Draws starting values while the network is put together.
  struct Initialiser;

  /// `x` (1, F, T, I) is what goes in, and becomes what comes out.
  Layer make_layer(const Initialiser& init, const std::string& name, const std::string& number, Shape& x,
                   const Shape& weight, int stride_f, int stride_t);
  void make_head(const Initialiser& init);
  Variable layer(const Layer& parts, const Variable& x) const;
  static const char* block_name(std::size_t index);  ///< For profilers: "block 1".

  std::shared_ptr<const Prepared> prepared() const;
  Tensor embed_blocks(const Prepared& prepared, Tensor x, std::size_t begin, std::size_t end) const;
  void buffers_moved() override {}  // it holds none of them

  std::array<Block, kBlocks> blocks_;
  DivideAndEncode head_;

  mutable std::mutex prepared_mutex_;
  mutable std::shared_ptr<const Prepared> prepared_;
  mutable std::uint64_t prepared_version_ = 0;
};

}  // namespace earmark::nn
