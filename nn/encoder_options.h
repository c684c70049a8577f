// Every choice of the encoders: "attention" (the paper: Singh, Demuynck, Arora, ISMIR 2022, arXiv 2210.08624) and
// "nafp" (Chang et al., ICASSP 2021, arXiv 2010.11910), which has no use for those of attention and convolution_init.
// They travel with a model as JSON in its safetensors file.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace earmark::nn {

enum class Attention { none, once, twice };       ///< Modules per residual block: twice = the authors' code.
enum class AttentionLogits { tanh, plain };       ///< tanh = the authors' code, plain = the poster.
enum class AttentionScale { hundred, area };      ///< S of the gate: 100 (the authors' code) or F·T (mean gain 1).
enum class AttentionInit { normal, zero };        ///< zero with area: every gate starts as the identity.
enum class ConvolutionInit { kaiming, pytorch };  ///< He normal (fan-in), zero bias; or U(±1/sqrt(fan-in)), bias too.

struct EncoderOptions {
  std::string type = "attention";  ///< Which encoder: a name known to make_encoder().
  int width = 32;                  ///< Channels: attention's front end has as many and its six blocks 1, 2, 4, ..., 32
                                   ///< times as many, nafp's eight blocks 1, 1, 2, 2, 4, 4, 8, 8 times.
  int bands = 64;                  ///< F of the input, as FeatureOptions::mel_bands.
  int frames = 96;                 ///< T of the input, as FeatureOptions::frames.
  Attention attention = Attention::twice;
  AttentionLogits attention_logits = AttentionLogits::tanh;
  AttentionScale attention_scale = AttentionScale::hundred;
  AttentionInit attention_init = AttentionInit::normal;
  double attention_deviation = 1;  ///< Of AttentionInit::normal.
  ConvolutionInit convolution_init = ConvolutionInit::pytorch;
  int embedding = 128;     ///< D: elements of a fingerprint, and groups of the head.
  int head_hidden = 32;    ///< Hidden units of each group of the head.
  bool whitening = false;  ///< A matrix (D, D) behind the head, estimated rather than trained (Encoder::whitening).

  bool operator==(const EncoderOptions&) const = default;
};

/// The names of an enumeration's values, as in configurations and in model files.
template <class E>
using Names = std::vector<std::pair<std::string, E>>;
const Names<Attention>& attention_names();
const Names<AttentionLogits>& attention_logits_names();
const Names<AttentionScale>& attention_scale_names();
const Names<AttentionInit>& attention_init_names();
const Names<ConvolutionInit>& convolution_init_names();

/// What an encoder of this type has unless it is told otherwise: its paper's, of width 32, or 128 for nafp.
EncoderOptions default_encoder_options(const std::string& type);
/// Whether encoders of this type have attention, and the options that go with it.
bool has_attention(const EncoderOptions& options);

/// Elements of the last block's map, which the head divides among its groups: 6144 in the paper, 1024 in NAFP's.
std::int64_t flattened_size(const EncoderOptions& options);

/// Throws Error unless every option is in range and the head's groups divide the flattened map evenly.
void validate(const EncoderOptions& options);

/// One JSON object with every option that this type of encoder has, enums by name.
std::string to_json(const EncoderOptions& options);
/// The inverse. Unknown keys, wrong types and values out of range throw Error naming the key; absent keys keep their
/// defaults, so that older models stay readable.
EncoderOptions encoder_options_from_json(const std::string& json);

}  // namespace earmark::nn
