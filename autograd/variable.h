// Reverse-mode automatic differentiation, eager: each operation computes its value at once and records how to turn the
// gradient of its result into gradients of its inputs. No double backward.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"

namespace earmark {

struct Node;

/// Maps the gradient of an operation's result to one gradient per input (an empty Tensor: none). It must hold tensors
/// only, never variables: those would keep the graph alive, and be taken apart by recursion.
using Backward = std::function<std::vector<Tensor>(const Tensor& grad)>;
/// Called when a leaf's gradient is complete, while backward still runs elsewhere.
using LeafHook = std::function<void(const Tensor& grad)>;

/// A handle on a value in the graph. Copies share the node.
class Variable {
 public:
  Variable() = default;  ///< No variable: converts to false.
  explicit Variable(Tensor value, bool requires_grad = false);

  explicit operator bool() const { return node_ != nullptr; }
  /// Of an empty variable, only requires_grad() may be asked: false. It can stand for an input that is left out.
  const Tensor& value() const;
  Tensor& mutable_value();
  const Shape& shape() const { return value().shape(); }
  /// Sum of all gradients since zero_grad(); empty where none arrived.
  const Tensor& grad() const;
  void zero_grad();
  void set_grad(Tensor grad);
  bool requires_grad() const;
  /// Freezes or unfreezes a leaf (fine-tuning). Throws Error on the result of an operation.
  void set_requires_grad(bool required);
  void set_leaf_hook(LeafHook hook);
  /// Adds d(this)/d(leaf), seeded with `seed` (this shape; one element may be omitted: 1), to every leaf's grad().
  /// The graph is consumed: closures are dropped as they are used, and a second call throws Error.
  void backward(Tensor seed = {}) const;

 private:
  friend Variable record(std::string_view, Tensor, std::vector<Variable>, Backward);
  friend struct Node;
  std::shared_ptr<Node> node_;
};

/// Makes the result of an operation. `name` must outlive the graph (a literal). Under NoGradScope, or where no input
/// requires a gradient, `backward` is dropped at once, and what it saved with it.
Variable record(std::string_view name, Tensor value, std::vector<Variable> inputs, Backward backward);

/// While alive on this thread, nothing is recorded: inference.
class NoGradScope {
 public:
  NoGradScope();
  ~NoGradScope();
  NoGradScope(const NoGradScope&) = delete;
  NoGradScope& operator=(const NoGradScope&) = delete;

 private:
  bool before_;
};
bool grad_enabled();

/// Where a Backward may write its result: the gradient it was given, when no one else holds that, else fresh memory.
Tensor reuse(const Tensor& grad);

}  // namespace earmark
