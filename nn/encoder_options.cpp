#include "nn/encoder_options.h"

#include "kernels/error.h"
#include "nn/json_fields.h"

namespace earmark::nn {

namespace {

/// Extent of an axis after so many halvings, rounded up.
std::int64_t halved(std::int64_t extent, int times) {
  for (int halving = 0; halving < times; ++halving) {
    extent = (extent + 1) / 2;
  }
  return extent;
}

/// The map behind the last block.
struct LastMap {
  std::int64_t times_width;  // channels
  std::int64_t bands;
  std::int64_t frames;

  explicit LastMap(const EncoderOptions& options)
      : times_width(has_attention(options) ? 32 : 8),
        bands(halved(options.bands, has_attention(options) ? 5 : 8)),
        frames(halved(options.frames, has_attention(options) ? 5 : 6)) {}
};

template <class Fields>
void visit_encoder(Fields& fields, EncoderOptions& options) {
  fields.value("type", options.type);
  fields.value("width", options.width);
  fields.value("bands", options.bands);
  fields.value("frames", options.frames);
  if (has_attention(options)) {  // the type has been read
    fields.choice("attention", options.attention, attention_names());
    fields.choice("attention_logits", options.attention_logits, attention_logits_names());
    fields.choice("attention_scale", options.attention_scale, attention_scale_names());
    fields.choice("attention_init", options.attention_init, attention_init_names());
    fields.value("attention_deviation", options.attention_deviation);
    fields.choice("convolution_init", options.convolution_init, convolution_init_names());
  }
  fields.value("embedding", options.embedding);
  fields.value("head_hidden", options.head_hidden);
  fields.later_value("whitening", options.whitening, false);
}

}  // namespace

const Names<Attention>& attention_names() {
  static const Names<Attention> names{
      {"none", Attention::none}, {"once", Attention::once}, {"twice", Attention::twice}};
  return names;
}

const Names<AttentionLogits>& attention_logits_names() {
  static const Names<AttentionLogits> names{{"tanh", AttentionLogits::tanh}, {"plain", AttentionLogits::plain}};
  return names;
}

const Names<AttentionScale>& attention_scale_names() {
  static const Names<AttentionScale> names{{"hundred", AttentionScale::hundred}, {"area", AttentionScale::area}};
  return names;
}

const Names<AttentionInit>& attention_init_names() {
  static const Names<AttentionInit> names{{"normal", AttentionInit::normal}, {"zero", AttentionInit::zero}};
  return names;
}

const Names<ConvolutionInit>& convolution_init_names() {
  static const Names<ConvolutionInit> names{{"kaiming", ConvolutionInit::kaiming},
                                            {"pytorch", ConvolutionInit::pytorch}};
  return names;
}

EncoderOptions default_encoder_options(const std::string& type) {
  EncoderOptions options;
  options.type = type;
  options.width = type == "nafp" ? 128 : options.width;
  return options;
}

bool has_attention(const EncoderOptions& options) { return options.type != "nafp"; }

std::int64_t flattened_size(const EncoderOptions& options) {
  const LastMap map(options);
  return map.times_width * options.width * map.bands * map.frames;
}

void validate(const EncoderOptions& options) {
  const auto in_range = [](const char* name, int value, int low, int high) {
    check(value >= low && value <= high, "encoder option ", name, " is ", value, ", expected ", low, " to ", high);
  };
  in_range("width", options.width, 1, 256);
  in_range("bands", options.bands, 1, 1024);
  in_range("frames", options.frames, 1, 4096);
  in_range("embedding", options.embedding, 1, 4096);
  in_range("head_hidden", options.head_hidden, 1, 4096);
  check(options.attention_deviation >= 0 && options.attention_deviation <= 100,
        "encoder option attention_deviation is ", options.attention_deviation, ", expected 0 to 100");
  const std::int64_t flat = flattened_size(options);
  const LastMap map(options);
  check(flat % options.embedding == 0, "encoder option embedding is ", options.embedding,
        ", which does not divide the flattened map of ", flat, " (", map.times_width, " x width ", options.width, " x ",
        map.bands, " x ", map.frames, ")");
}

std::string to_json(const EncoderOptions& options) {
  EncoderOptions copy = options;
  JsonWriter writer;
  visit_encoder(writer, copy);
  return writer.text();
}

EncoderOptions encoder_options_from_json(const std::string& json) {
  EncoderOptions options;
  JsonReader reader(json, "encoder options");
  visit_encoder(reader, options);
  reader.finish();
  validate(options);
  return options;
}

}  // namespace earmark::nn
