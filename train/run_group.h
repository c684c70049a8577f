// What the processes of a run have in common before they train: the configuration and the music.
#pragma once

#include <functional>
#include <string>

#include "kernels/communicator.h"
#include "train/data_sources.h"

namespace earmark::train {

/// The first line in which two texts differ, for a message: "\"a: 1\" there, \"a: 2\" here".
std::string first_difference(const std::string& there, const std::string& here);

/// Throws Error where this process's resolved configuration is not rank 0's.
void check_same_configuration(Communicator& ranks, const std::string& resolved);

/// As open_training_data() of one process, which alone reports; all call it together. Rank 0 decodes first, then the
/// first process of each other machine, in case it has a store of its own, then the rest. Throws Error where this
/// process has other music to train on than rank 0.
TrainingData open_training_data(const TrainOptions& options, Communicator& ranks, const Rank& rank,
                                const std::function<void(const std::string&)>& report);

}  // namespace earmark::train
