// The rows beside ours: landmarks, other models and answers from a file, all asked the same queries about the same
// tracks as the index that is ours.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/say.h"
#include "train/config.h"

namespace earmark::experiments {

/// Which ones.
struct OtherSystems {
  std::vector<std::string> landmarks;    ///< Settings (search/landmarks.h).
  std::vector<train::NamedPath> models;  ///< Model files and what their rows are called.
  /// Answers of systems from elsewhere: TSV at the full length (read_answers()), or known at every length
  /// (known_answers.h). Of the latter those to other queries are left out.
  std::vector<train::NamedPath> answers;
  /// s between the models' fingerprints, as near as their frames allow; 0: as in our index.
  double models_hop_s = 0;
};

/// Before the long work: throws Error where two rows would have one name, a name is ours, or a model or answers cannot
/// be read.
void check_other_systems(const OtherSystems& others);

/// Indexes and searches what is missing below `out`, and adds a system for each to `evaluation`; `say` gets a line for
/// each. `options` are those of our own evaluation, `store` is our index.
void add_other_systems(const OtherSystems& others, const std::filesystem::path& out, const search::IndexStore& store,
                       Device device, const QuerySet& set, const EvaluationOptions& options, Evaluation& evaluation,
                       const Say& say);

}  // namespace earmark::experiments
