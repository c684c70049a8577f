// Names a part of a network for a profiler, in both passes: a TraceRange around what is computed now, and again around
// what the operations recorded in it do in the backward pass.
#pragma once

#include <optional>

#include "kernels/trace.h"

namespace earmark {

class LayerRange {
 public:
  /// `name` must outlive the graph (a literal). Ranges nest; operations belong to the innermost.
  explicit LayerRange(const char* name);
  ~LayerRange();
  LayerRange(const LayerRange&) = delete;
  LayerRange& operator=(const LayerRange&) = delete;

  /// The innermost range of this thread, or null.
  static const char* current();

 private:
  TraceRange range_;
  const char* before_;
};

/// The ranges of a backward pass: operations of one part that follow each other share one.
class BackwardRanges {
 public:
  /// What runs from now on belongs to `name`, or to no part where that is null.
  void enter(const char* name);

 private:
  const char* name_ = nullptr;
  std::optional<TraceRange> range_;
};

}  // namespace earmark
