// Work that ranks wait for: longer, perhaps, than a communicator waits for a rank that may have died.
#pragma once

#include <functional>

#include "kernels/communicator.h"

namespace earmark {

/// Does `work`, and returns when all ranks have done theirs: all call it together. Meanwhile they tell each other that
/// they are alive, and how many signs of life their work has given (kernels/life_signs.h). Throws what `work` throws;
/// and Error, once `work` is done, where another rank's failed, where it has gone, or where its work has given no sign
/// for the communicator's time.
void work_beside_ranks(Communicator& ranks, const std::function<void()>& work);

/// Throws Error as soon as another rank's work has failed, hangs, or it has gone.
using CheckRanks = std::function<void()>;
/// The same with work that takes long and asks now and then, so that it ends soon after another rank has.
void work_beside_ranks(Communicator& ranks, const std::function<void(const CheckRanks& check_ranks)>& work);

}  // namespace earmark
