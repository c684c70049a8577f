// Every choice of the encoder (docs: the paper is Singh, Demuynck, Arora, ISMIR 2022, arXiv 2210.08624).
// They travel with a model as JSON in its safetensors file.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/shape.h"

namespace earmark::nn {

enum class Attention { none, once, twice };       ///< Modules per residual block: twice = the authors' code.
enum class AttentionLogits { tanh, plain };       ///< tanh = the authors' code, plain = the poster.
enum class AttentionScale { hundred, area };      ///< S of the gate: 100 (the authors' code) or F·T (mean gain 1).
enum class AttentionInit { normal, zero };        ///< zero with area: every gate starts as the identity.
enum class ConvolutionInit { kaiming, pytorch };  ///< He normal (fan-in), zero bias; or U(±1/sqrt(fan-in)), bias too.

struct EncoderOptions {
  std::string type = "attention";  ///< Which encoder: a name known to make_encoder().
  int width = 32;                  ///< Channels of the front end; the six blocks have 1, 2, 4, ..., 32 × as many.
  int bands = 64;                  ///< F of the input, as FeatureOptions::mel_bands.
  int frames = 96;                 ///< T of the input, as FeatureOptions::frames.
  Attention attention = Attention::twice;
  AttentionLogits attention_logits = AttentionLogits::tanh;
  AttentionScale attention_scale = AttentionScale::hundred;
  AttentionInit attention_init = AttentionInit::normal;
  double attention_deviation = 1;  ///< Of AttentionInit::normal.
  ConvolutionInit convolution_init = ConvolutionInit::pytorch;
  int embedding = 128;   ///< D: elements of a fingerprint, and groups of the head.
  int head_hidden = 32;  ///< Hidden units of each group of the head.

  bool operator==(const EncoderOptions&) const = default;
};

/// Throws Error unless every option is in range and the head's groups divide the flattened map evenly.
void validate(const EncoderOptions& options);

/// One JSON object with every option, enums by name.
std::string to_json(const EncoderOptions& options);
/// The inverse. Unknown keys, wrong types and values out of range throw Error naming the key; absent keys keep their
/// defaults, so that older models stay readable.
EncoderOptions encoder_options_from_json(const std::string& json);

}  // namespace earmark::nn
