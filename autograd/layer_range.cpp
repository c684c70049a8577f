#include "autograd/layer_range.h"

#include <utility>

namespace earmark {
namespace {

thread_local const char* innermost = nullptr;

}  // namespace

LayerRange::LayerRange(const char* name) : range_(name), before_(std::exchange(innermost, name)) {}
LayerRange::~LayerRange() { innermost = before_; }

const char* LayerRange::current() { return innermost; }

void BackwardRanges::enter(const char* name) {
  if (name == name_) {
    return;
  }
  range_.reset();
  name_ = name;
  if (name != nullptr) {
    range_.emplace(name);
  }
}

}  // namespace earmark
