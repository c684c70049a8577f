#include "graph.h"

#include <stdexcept>
#include <string>

#include "access.h"
#include "elements.h"

namespace cudasim {
namespace {

using Index = std::array<std::int64_t, 4>;

/// Calls f(index) for every element, channels innermost.
template <class F>
void for_each_element(const GraphTensor& t, F f) {
  Index i{};
  for (i[0] = 0; i[0] < t.extent[0]; ++i[0]) {
    for (i[2] = 0; i[2] < t.extent[2]; ++i[2]) {
      for (i[3] = 0; i[3] < t.extent[3]; ++i[3]) {
        for (i[1] = 0; i[1] < t.extent[1]; ++i[1]) {
          f(i);
        }
      }
    }
  }
}

/// Where an element lies; axes of extent 1 repeat.
std::int64_t offset(const GraphTensor& t, const Index& i) {
  std::int64_t at = 0;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    at += t.extent[axis] == 1 ? 0 : i[axis] * t.stride[axis];
  }
  return at;
}

bool is_readable(const GraphTensor& t, const void* place) {
  return t.is_virtual || library_reads(place, t.bytes(), "cudnnBackendExecute");
}

bool is_writable(const GraphTensor& t, const void* place) {
  return t.is_virtual || library_writes(place, t.bytes(), "cudnnBackendExecute");
}

/// A tensor in double, channels innermost.
class Packed {
 public:
  explicit Packed(const GraphTensor& t) : extent_(t.extent) {
    values_.resize(static_cast<std::size_t>(extent_[0] * extent_[1] * extent_[2] * extent_[3]));
  }
  Packed(const GraphTensor& t, const void* place) : Packed(t) {
    auto value = values_.begin();
    for_each_element(t, [&](const Index& i) { *value++ = load(place, t.type, offset(t, i)); });
  }
  /// The channels of one position.
  double* channels(std::int64_t sample, std::int64_t row, std::int64_t column) {
    return &values_[static_cast<std::size_t>(((sample * extent_[2] + row) * extent_[3] + column) * extent_[1])];
  }
  void write(const GraphTensor& t, void* place, double alpha, double beta) const {
    auto value = values_.begin();
    for_each_element(t, [&](const Index& i) {
      const std::int64_t at = offset(t, i);
      store(place, t.type, at, alpha * *value++ + (beta == 0 ? 0 : beta * load(place, t.type, at)));
    });
  }

 private:
  std::array<std::int64_t, 4> extent_;
  std::vector<double> values_;
};

/// Adds what one tap contributes to one position: the channels of x, one output's weights, and that output.
void add_tap(Pass pass, double* x, double* w, double& y, std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; ++c) {
    switch (pass) {
      case Pass::forward:
        y += x[c] * w[c];
        break;
      case Pass::input_gradient:
        x[c] += y * w[c];
        break;
      case Pass::weight_gradient:
        w[c] += y * x[c];
        break;
    }
  }
}

/// All taps of one output position.
void add_position(const Convolution& conv, Packed& x, Packed& w, Packed& y, std::int64_t n, std::int64_t p,
                  std::int64_t q) {
  double* const outputs = y.channels(n, p, q);
  for (std::int64_t r = 0; r < conv.w.extent[2]; ++r) {
    for (std::int64_t s = 0; s < conv.w.extent[3]; ++s) {
      const std::int64_t row = p * conv.stride[0] + r * conv.dilation[0] - conv.padding[0];
      const std::int64_t column = q * conv.stride[1] + s * conv.dilation[1] - conv.padding[1];
      if (row < 0 || row >= conv.x.extent[2] || column < 0 || column >= conv.x.extent[3]) {
        continue;
      }
      double* const inputs = x.channels(n, row, column);
      for (std::int64_t k = 0; k < conv.w.extent[0]; ++k) {
        add_tap(conv.pass, inputs, w.channels(k, r, s), outputs[k], conv.w.extent[1]);
      }
    }
  }
}

void run(const Convolution& conv, Bindings& places) {
  void* const at_x = places(conv.x);
  void* const at_w = places(conv.w);
  void* const at_y = places(conv.y);
  const GraphTensor& out = conv.pass == Pass::forward ? conv.y : conv.pass == Pass::input_gradient ? conv.x : conv.w;
  void* const at_out = places(out);
  const auto packed = [&](const GraphTensor& t, const void* place) {
    return &t != &out && is_readable(t, place) ? Packed(t, place) : Packed(t);
  };
  Packed x = packed(conv.x, at_x);
  Packed w = packed(conv.w, at_w);
  Packed y = packed(conv.y, at_y);
  for (std::int64_t n = 0; n < conv.y.extent[0]; ++n) {
    for (std::int64_t p = 0; p < conv.y.extent[2]; ++p) {
      for (std::int64_t q = 0; q < conv.y.extent[3]; ++q) {
        add_position(conv, x, w, y, n, p, q);
      }
    }
  }
  if ((conv.beta == 0 || is_readable(out, at_out)) && is_writable(out, at_out)) {
    (conv.pass == Pass::forward          ? y
     : conv.pass == Pass::input_gradient ? x
                                         : w)
        .write(out, at_out, conv.alpha, conv.beta);
  }
}

void run(const Pointwise& op, Bindings& places) {
  const void* const a = places(op.a);
  const void* const b = op.relu ? nullptr : places(op.b);
  void* const y = places(op.y);
  if (!is_readable(op.a, a) || (b != nullptr && !is_readable(op.b, b)) || !is_writable(op.y, y)) {
    return;
  }
  for_each_element(op.y, [&](const Index& i) {
    const double left = load(a, op.a.type, offset(op.a, i));
    const double value = op.relu ? (left < 0 ? 0 : left) : left + load(b, op.b.type, offset(op.b, i));
    store(y, op.y.type, offset(op.y, i), value);
  });
}

std::vector<GraphTensor> tensors_of(const Operation& operation) {
  if (const auto* conv = std::get_if<Convolution>(&operation)) {
    return {conv->x, conv->w, conv->y};
  }
  const auto& op = std::get<Pointwise>(operation);
  return op.relu ? std::vector{op.a, op.y} : std::vector{op.a, op.b, op.y};
}

}  // namespace

std::size_t GraphTensor::bytes() const {
  std::int64_t last = 0;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    last += (extent[axis] - 1) * stride[axis];
  }
  return static_cast<std::size_t>(last + 1) * size_of(type);
}

void Bindings::check(const Graph& graph) const {
  for (const Operation& operation : graph.operations) {
    for (const GraphTensor& t : tensors_of(operation)) {
      const auto at = given_.find(t.id);
      if (!t.is_virtual && at == given_.end()) {
        throw std::runtime_error("the variant pack has no pointer for tensor " + std::to_string(t.id));
      }
      if (!t.is_virtual && reinterpret_cast<std::uintptr_t>(at->second) % static_cast<std::size_t>(t.alignment) != 0) {
        throw std::runtime_error("the pointer for tensor " + std::to_string(t.id) + " is not aligned to " +
                                 std::to_string(t.alignment) + " bytes");
      }
    }
  }
}

void* Bindings::operator()(const GraphTensor& tensor) {
  if (!tensor.is_virtual) {
    return given_.at(tensor.id);
  }
  std::vector<char>& value = made_[tensor.id];
  value.resize(tensor.bytes());
  return value.data();
}

void run(const Graph& graph, Bindings& places) {
  for (const Operation& operation : graph.operations) {
    std::visit([&](const auto& op) { run(op, places); }, operation);
  }
}

}  // namespace cudasim
