#include "autograd/repeated_forward.h"

namespace earmark {

namespace {

thread_local bool repeating = false;

}  // namespace

RepeatedForwardScope::RepeatedForwardScope() : before_(repeating) { repeating = true; }
RepeatedForwardScope::~RepeatedForwardScope() { repeating = before_; }
bool RepeatedForwardScope::active() { return repeating; }

}  // namespace earmark
