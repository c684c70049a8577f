// From the data section of a configuration to what a run draws from: decoded music, its held-out part, noises, rooms.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/pair_sampler.h"
#include "train/options.h"

namespace earmark::train {

struct TrainingData {
  std::shared_ptr<const data::PairSampler> training;
  std::shared_ptr<const data::PairSampler> validation;  ///< Over held-out tracks, cut to their first seconds; or none.
  std::uint64_t identity = 0;  ///< Hash over the names and lengths of the training tracks, in order.
  /// A line per file that is missing, not usable or damaged, with the reason: "skipped music/a.mp3: no sound in it".
  std::vector<std::string> skipped{};
};

/// Lists and decodes (with progress, where `report` is set), holds tracks out by the hash of their names (so that new
/// files do not move old ones between the parts), simulates rooms. `report` gets a line per thing worth knowing: how
/// much music, the first files that were skipped and why. Throws Error when nothing is left to train on.
TrainingData open_training_data(const TrainOptions& options, const std::function<void(const std::string&)>& report);

}  // namespace earmark::train
