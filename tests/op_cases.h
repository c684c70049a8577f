// The list of differentiable operations and the inputs each is tried on. Several programs read it: the gradient check
// (f64, central differences), the comparison of f32 with f64, of thread counts and of devices, and the benchmark.
#pragma once

#include <functional>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace earmark::testing {

/// What an input's values are drawn from.
enum class Domain {
  normal,          ///< Standard normal.
  away_from_zero,  ///< Magnitude in [0.1, 1.1]: for functions with a kink at zero.
  positive,        ///< In [0.5, 1.5].
  ties,            ///< One of -1, 0.5, 1: many equal values.
  zeros,           ///< All zero.
  unit_rows,       ///< Normal, then each row of the last axis scaled to length 1.
};

struct OpCase {
  std::string name;           ///< "op/what is special": unique.
  std::vector<Shape> inputs;  ///< Small: the gradient check perturbs their elements one by one.
  std::function<Variable(std::span<const Variable>)> build;
  std::vector<Domain> domains{};    ///< One per input; those missing are normal.
  std::vector<Shape> large{};       ///< Inputs of the size that training uses: the benchmark's. Empty: not timed.
  std::vector<std::size_t> maps{};  ///< Inputs that may be stored in bf16, the others then in f32. Empty: none may.
};

/// Every case of every operation.
const std::vector<OpCase>& op_cases();

/// Deterministic inputs, each a leaf that requires a gradient; the same numbers in f32 and f64 but for rounding, and on
/// every device.
std::vector<Variable> make_inputs(const OpCase& c, const std::vector<Shape>& shapes, DType dtype, std::uint64_t seed,
                                  Device device = {});

/// The numbers of make_inputs with those of `maps` rounded to bf16 and the others to f32, stored as such or, where
/// `exact`, as f64: the same operation on the same numbers.
std::vector<Variable> make_bf16_inputs(const OpCase& c, std::uint64_t seed, bool exact, Device device = {});
/// The value and every input's gradient, in order, brought to the CPU in double.
std::vector<Tensor> bf16_results(const OpCase& c, bool exact, Device device = {});
/// The cases that have `maps`.
std::vector<OpCase> bf16_op_cases();

/// Values of `shape` from `domain`, a function of `seed` and `stream`.
Tensor draw(const Shape& shape, Domain domain, DType dtype, std::uint64_t seed, std::uint64_t stream = 0);

/// GoogleTest prints and names cases with it.
std::ostream& operator<<(std::ostream& out, const OpCase& c);
std::string test_name(const OpCase& c);

/// The parts of the list, each beside what it covers.
std::vector<OpCase> general_op_cases();
std::vector<OpCase> convnet_op_cases();  ///< Convolution, batch normalisation, attention.

}  // namespace earmark::testing
