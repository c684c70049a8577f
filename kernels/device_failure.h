// A GPU that has failed while it computed, as opposed to one that has too little memory for something.
#pragma once

#include "kernels/error.h"

namespace earmark {

/// Nothing that this process asks of the GPU works any more: who goes on after an Error, with the next file say, must
/// not go on after this one.
class DeviceFailure : public Error {
 public:
  using Error::Error;
};

}  // namespace earmark
