// A forward pass that is made a second time, for the sake of its gradients: what it leaves behind beside its result
// must not be left twice.
#pragma once

namespace earmark {

/// While it lives, this thread's batch normalisations in training leave the running statistics as they are; they
/// normalise by the batch's own all the same. What is drawn at random in a forward pass must be drawn as it was the
/// first time: by a counter that knows the step, and does not move.
class RepeatedForwardScope {
 public:
  RepeatedForwardScope();
  ~RepeatedForwardScope();
  RepeatedForwardScope(const RepeatedForwardScope&) = delete;
  RepeatedForwardScope& operator=(const RepeatedForwardScope&) = delete;

  /// Whether this thread is in one.
  static bool active();

 private:
  bool before_;
};

}  // namespace earmark
