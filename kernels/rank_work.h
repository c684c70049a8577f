// Work that ranks wait for: longer, perhaps, than a communicator waits for a rank that may have died.
#pragma once

#include <functional>

#include "kernels/communicator.h"

namespace earmark {

/// Does `work`, and returns when all ranks have done theirs: all call it together. Meanwhile they tell each other that
/// they are alive. Throws what `work` throws; and Error, once `work` is done, where another rank's failed, or has gone.
void work_beside_ranks(Communicator& ranks, const std::function<void()>& work);

/// Throws Error as soon as another rank's work has failed, or it has gone.
using CheckRanks = std::function<void()>;
/// The same with work that takes long and asks now and then, so that it ends soon after another rank has.
void work_beside_ranks(Communicator& ranks, const std::function<void(const CheckRanks& check_ranks)>& work);

}  // namespace earmark
