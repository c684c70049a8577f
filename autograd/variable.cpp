#include "autograd/variable.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "autograd/layer_range.h"
#include "kernels/elementwise.h"

namespace earmark {

struct Node {
  Tensor value;
  Tensor grad;
  bool requires_grad = false;
  bool is_leaf = true;
  std::string_view name = "leaf";
  const char* layer = nullptr;  // for profilers: the LayerRange in which it was recorded
  std::vector<Variable> inputs;
  Backward backward;
  LeafHook hook;

  Node() = default;
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  static Node* of(const Variable& v) { return v.node_.get(); }
};

/// A graph that was never run backward is taken apart in a loop: by recursion, a long chain would overflow the stack.
Node::~Node() {
  std::vector<Variable> chain = std::move(inputs);
  while (!chain.empty()) {
    const Variable last = std::move(chain.back());
    chain.pop_back();
    if (last.node_.use_count() == 1) {
      std::move(last.node_->inputs.begin(), last.node_->inputs.end(), std::back_inserter(chain));
      last.node_->inputs.clear();
    }
  }
}

namespace {

thread_local bool recording = true;

/// Every value that leads to a leaf, results before their inputs. Holding handles keeps each alive until it is done.
std::vector<Variable> topological_order(const Variable& root) {
  std::vector<Variable> order;
  std::unordered_set<Node*> seen{Node::of(root)};
  std::vector<std::pair<Variable, std::size_t>> stack{{root, 0}};
  while (!stack.empty()) {
    auto& [variable, next] = stack.back();
    if (next == Node::of(variable)->inputs.size()) {
      order.push_back(std::move(variable));
      stack.pop_back();
      continue;
    }
    const Variable& input = Node::of(variable)->inputs[next++];
    if (input.requires_grad() && seen.insert(Node::of(input)).second) {
      stack.emplace_back(input, 0);
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

/// Adds in place only where no one else holds the memory: `add` hands one tensor to both of its inputs.
void accumulate(Tensor& total, const Tensor& part) {
  if (!total) {
    total = part;
    return;
  }
  check(total.shape() == part.shape(), "gradients of one value differ in shape: ", total.shape(), " and ",
        part.shape());
  const Tensor sum = total.is_sole_owner() ? total : empty_like(total);
  kernels::add(total, part, sum);
  total = sum;
}

/// How many recorded uses of each leaf have yet to deliver their gradient.
std::unordered_map<Node*, int> pending_uses(const std::vector<Variable>& order) {
  std::unordered_map<Node*, int> uses;
  for (const Variable& variable : order) {
    for (const Variable& input : Node::of(variable)->inputs) {
      if (input.requires_grad() && Node::of(input)->is_leaf) {
        ++uses[Node::of(input)];
      }
    }
  }
  return uses;
}

/// Before anything is changed: a graph can be run backward once.
void check_unconsumed(const std::vector<Variable>& order) {
  for (const Variable& variable : order) {
    const Node& node = *Node::of(variable);
    check(node.is_leaf || static_cast<bool>(node.backward), "backward: the graph through ", node.name,
          " was consumed already");
  }
}

/// Runs one node's closure and drops it, with all it saved. Where no gradient arrived, none goes on.
std::vector<Tensor> input_gradients(Node& node) {
  const Backward backward = std::exchange(node.backward, {});
  if (!node.grad) {
    return std::vector<Tensor>(node.inputs.size());
  }
  std::vector<Tensor> grads = backward(std::exchange(node.grad, {}));
  check(grads.size() == node.inputs.size(), node.name, ": ", grads.size(), " gradients for ", node.inputs.size(),
        " inputs");
  return grads;
}

/// A leaf's gradient is scaled in place by clipping and read by an optimiser: it shares memory with nothing.
void deliver(const Variable& to, Tensor grad, std::unordered_map<Node*, int>& pending) {
  if (!to.requires_grad()) {
    return;
  }
  Node& input = *Node::of(to);
  if (grad) {
    check(grad.shape() == input.value.shape(), "gradient ", grad.shape(), " for a value ", input.value.shape());
    accumulate(input.grad, input.is_leaf && !input.grad && !grad.is_sole_owner() ? grad.clone() : grad);
  }
  grad = {};
  if (input.is_leaf && --pending[&input] == 0 && input.hook) {
    input.hook(input.grad);
  }
}

}  // namespace

Variable::Variable(Tensor value, bool requires_grad) : node_(std::make_shared<Node>()) {
  node_->value = std::move(value);
  node_->requires_grad = requires_grad;
}

const Tensor& Variable::value() const { return node_->value; }
Tensor& Variable::mutable_value() { return node_->value; }
const Tensor& Variable::grad() const { return node_->grad; }
void Variable::zero_grad() { node_->grad = {}; }
void Variable::set_grad(Tensor grad) { node_->grad = std::move(grad); }
bool Variable::requires_grad() const { return node_ != nullptr && node_->requires_grad; }
void Variable::set_requires_grad(bool required) {
  check(node_->is_leaf, "requires_grad can be set on a leaf only, not on the result of ", node_->name);
  node_->requires_grad = required;
}
void Variable::set_leaf_hook(LeafHook hook) { node_->hook = std::move(hook); }

Variable record(std::string_view name, Tensor value, std::vector<Variable> inputs, Backward backward) {
  const bool needed =
      recording && std::any_of(inputs.begin(), inputs.end(), [](const Variable& v) { return v.requires_grad(); });
  Variable out(std::move(value), needed);
  out.node_->name = name;
  out.node_->is_leaf = !needed;
  if (needed) {
    out.node_->inputs = std::move(inputs);
    out.node_->backward = std::move(backward);
    out.node_->layer = LayerRange::current();
  }
  return out;
}

void Variable::backward(Tensor seed) const {
  check(requires_grad(), "backward: the result of ", node_ ? node_->name : "nothing",
        " does not depend on anything with a gradient");
  check(seed || value().numel() == 1, "backward: a value of shape ", shape(), " needs a seed");
  check(!seed || seed.shape() == shape(), "backward: seed ", seed.shape(), " for a value ", shape());
  if (!seed) {
    seed = empty_like(value());
    seed.fill(1);
  }
  std::vector<Variable> order = topological_order(*this);
  check_unconsumed(order);
  std::unordered_map<Node*, int> pending = pending_uses(order);
  if (node_->is_leaf) {
    pending[node_.get()] = 1;
    return deliver(*this, std::move(seed), pending);
  }
  accumulate(node_->grad, seed);
  seed = {};
  BackwardRanges ranges;
  for (Variable& variable : order) {
    const Variable current = std::exchange(variable, {});
    Node& node = *current.node_;
    if (node.is_leaf) {
      continue;
    }
    ranges.enter(node.layer);
    std::vector<Tensor> grads = input_gradients(node);
    for (std::size_t i = 0; i < grads.size(); ++i) {
      deliver(node.inputs[i], std::exchange(grads[i], {}), pending);
    }
    node.inputs.clear();
  }
}

NoGradScope::NoGradScope() : before_(recording) { recording = false; }
NoGradScope::~NoGradScope() { recording = before_; }
bool grad_enabled() { return recording; }

Tensor reuse(const Tensor& t) { return t.is_sole_owner() ? t : empty_like(t); }

}  // namespace earmark
