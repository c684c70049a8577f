#include "tests/op_cases.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <ostream>

#include "kernels/random.h"

namespace earmark::testing {
namespace {

double draw_one(Domain domain, RandomStream& random) {
  switch (domain) {
    case Domain::away_from_zero: {
      const double magnitude = random.uniform(0.1, 1.1);
      return random.uniform() < 0.5 ? -magnitude : magnitude;
    }
    case Domain::positive:
      return random.uniform(0.5, 1.5);
    case Domain::ties: {
      const auto which = random.below(3);
      return which == 0 ? -1 : which == 1 ? 0.5 : 1;
    }
    case Domain::zeros:
      return 0;
    case Domain::normal:
    case Domain::unit_rows:
      break;
  }
  return random.normal();
}

void scale_rows(const Tensor& t) {
  auto* x = t.mutable_data<double>();
  const std::int64_t d = t.dim(-1);
  for (std::int64_t row = 0; row < t.numel(); row += d) {
    double square = 0;
    for (std::int64_t i = 0; i < d; ++i) {
      square += x[row + i] * x[row + i];
    }
    for (std::int64_t i = 0; i < d; ++i) {
      x[row + i] /= std::sqrt(square);
    }
  }
}

}  // namespace

Tensor draw(const Shape& shape, Domain domain, DType dtype, std::uint64_t seed, std::uint64_t stream) {
  const Tensor exact(shape, DType::f64);
  RandomStream random(seed, stream);
  for (std::int64_t i = 0; i < exact.numel(); ++i) {
    exact.mutable_data<double>()[i] = draw_one(domain, random);
  }
  if (domain == Domain::unit_rows) {
    scale_rows(exact);
  }
  return exact.to(dtype);
}

std::vector<Variable> make_inputs(const OpCase& c, const std::vector<Shape>& shapes, DType dtype, std::uint64_t seed,
                                  Device device) {
  std::vector<Variable> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Domain domain = i < c.domains.size() ? c.domains[i] : Domain::normal;
    inputs.emplace_back(draw(shapes[i], domain, dtype, seed, i).to(device), true);
  }
  return inputs;
}

std::vector<Variable> make_bf16_inputs(const OpCase& c, std::uint64_t seed, bool exact, Device device) {
  std::vector<Variable> inputs = make_inputs(c, c.inputs, DType::f64, seed);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool is_map = std::ranges::find(c.maps, i) != c.maps.end();
    const Tensor rounded = inputs[i].value().to(is_map ? DType::bf16 : DType::f32);
    inputs[i] = Variable((exact ? rounded.to(DType::f64) : rounded).to(device), true);
  }
  return inputs;
}

std::vector<Tensor> bf16_results(const OpCase& c, bool exact, Device device) {
  const auto in_double = [](const Tensor& t) { return t.to(Device{}).to(DType::f64); };
  const std::vector<Variable> inputs = make_bf16_inputs(c, 7, exact, device);
  const Variable out = c.build(inputs);
  std::vector<Tensor> all{in_double(out.value())};
  out.backward(draw(out.shape(), Domain::normal, DType::bf16, 8, 99).to(out.value().dtype()).to(device));
  for (const Variable& input : inputs) {
    all.push_back(in_double(input.grad()));
  }
  return all;
}

std::vector<OpCase> bf16_op_cases() {
  std::vector<OpCase> cases;
  std::ranges::copy_if(op_cases(), std::back_inserter(cases), [](const OpCase& c) { return !c.maps.empty(); });
  return cases;
}

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> cases = general_op_cases();
    for (OpCase& c : convnet_op_cases()) {
      cases.push_back(std::move(c));
    }
    return cases;
  }();
  return all;
}

std::ostream& operator<<(std::ostream& out, const OpCase& c) { return out << c.name; }

std::string test_name(const OpCase& c) {
  std::string name = c.name;
  for (char& letter : name) {
    letter = std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '_';
  }
  return name;
}

}  // namespace earmark::testing
