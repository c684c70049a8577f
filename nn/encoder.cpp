#include "nn/encoder.h"

#include <functional>
#include <utility>

#include "autograd/functions.h"
#include "kernels/error.h"
#include "kernels/matmul.h"
#include "nn/attention_encoder.h"
#include "nn/nafp_encoder.h"

namespace earmark::nn {

namespace {

using Factory = std::function<std::shared_ptr<Encoder>(const EncoderOptions& options, std::uint64_t seed, DType dtype)>;

/// Every encoder there is, by the name that configurations and model files use.
const std::vector<std::pair<std::string, Factory>>& factories() {
  static const std::vector<std::pair<std::string, Factory>> table{
      {"attention", [](const EncoderOptions& options, std::uint64_t seed,
                       DType dtype) { return std::make_shared<AttentionEncoder>(options, seed, dtype); }},
      {"nafp", [](const EncoderOptions& options, std::uint64_t seed,
                  DType dtype) { return std::make_shared<NafpEncoder>(options, seed, dtype); }},
  };
  return table;
}

Tensor identity_matrix(std::int64_t extent) {
  Tensor out = Tensor::zeros({extent, extent}, DType::f64);
  for (std::int64_t i = 0; i < extent; ++i) {
    out.mutable_data<double>()[i * extent + i] = 1;
  }
  return out;
}

}  // namespace

std::int64_t Encoder::parameter_count() const {
  std::int64_t count = 0;
  for (const NamedParameter& parameter : parameters_) {
    count += parameter.variable.value().numel();
  }
  return count;
}

void Encoder::set_activation_type(DType dtype) {
  const bool narrower = dtype == DType::bf16 && weight_type() == DType::f32;
  check(narrower || dtype == weight_type(), "encoder: activations can be ", name_of(weight_type()),
        weight_type() == DType::f32 ? " or bf16" : "", " beside weights in ", name_of(weight_type()), ", not ",
        name_of(dtype));
  activation_type_ = dtype;
}

void Encoder::to(Device device) {
  for (NamedParameter& parameter : parameters_) {
    Variable& variable = parameter.variable;
    variable.mutable_value() = variable.value().to(device);
    variable.zero_grad();
  }
  for (NamedBuffer& buffer : buffers_) {
    buffer.tensor = buffer.tensor.to(device);
  }
  buffers_moved();
  weights_changed();
}

void Encoder::check_input(const Tensor& x) const {
  const Shape& shape = x.shape();
  const bool fits = shape.rank() == 4 && shape[1] == options_.bands && shape[2] == options_.frames && shape[3] == 1;
  check(fits, "encoder: expected (N, ", options_.bands, ", ", options_.frames, ", 1), got ", shape);
  check(x.dtype() == weight_type(), "encoder: segments are ", name_of(x.dtype()), ", its weights are ",
        name_of(weight_type()));
  check(x.device() == device(), "encoder: segments are on ", x.device(), ", its weights on ", device());
}

Variable Encoder::stored(const Variable& x) const { return cast(x, activation_type()); }

Variable Encoder::add_parameter(std::string name, Tensor value, std::int64_t layers) {
  parameters_.push_back({std::move(name), Variable(std::move(value), true), layers});
  return parameters_.back().variable;
}

Tensor Encoder::add_buffer(std::string name, Tensor value) {
  buffers_.push_back({std::move(name), std::move(value)});
  return buffers_.back().tensor;
}

void Encoder::add_whitening() {
  if (options_.whitening) {
    add_buffer("whitening.weight", Tensor({options_.embedding, options_.embedding}, weight_type()));
    set_whitening(identity_matrix(options_.embedding));
  }
}

void Encoder::set_whitening(const Tensor& matrix) {
  check(options_.whitening, "encoder: a whitening matrix is given to one without whitening");
  const Tensor own = whitening();
  check(matrix.shape() == own.shape(), "encoder: expected a whitening matrix of ", own.shape(), ", got ",
        matrix.shape());
  own.copy_from(matrix.to(own.dtype()));
  weights_changed();
}

Variable Encoder::fingerprints_of(const Variable& rows) const {
  return l2_normalize(training() || !options_.whitening ? rows : matmul(rows, Variable(whitening()), false, true));
}

Tensor Encoder::whitened(const Tensor& rows) const {
  if (!options_.whitening) {
    return rows;
  }
  const Tensor out = empty_like(rows);
  kernels::matmul({.a = rows, .b = whitening(), .out = out, .transpose_b = true});
  return out;
}

std::vector<std::string> encoder_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : factories()) {
    names.push_back(name);
  }
  return names;
}

std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options, std::uint64_t seed, DType dtype) {
  std::string known;
  for (const auto& [name, make] : factories()) {
    if (name == options.type) {
      validate(options);
      return make(options, seed, dtype);
    }
    known += (known.empty() ? "" : ", ") + name;
  }
  fail("encoder type \"", options.type, "\" does not exist; known: ", known);
}

}  // namespace earmark::nn
