// What each choice of the method brings: encoders trained with one thing changed, and searches of the unchanged one
// with one thing changed, each with several seeds, on the same queries. What is done is not done again: runs and cells
// are kept by the hash of what they depend on, and a training that was cut off goes on from its last checkpoint.
//   OUT/runs/seed-S-HASH     a training run (train/run_folder.h)
//   OUT/index-HASH-N         the test database by that model, a fingerprint every N frames; copies stored less
//   precisely OUT/queries, OUT/cells   as of reproduce.h OUT/ablations.md, ablations.json
#pragma once

#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/ablation_results.h"
#include "experiments/reproduce.h"
#include "experiments/say.h"
#include "train/options.h"

namespace earmark::experiments {

/// What is asked for on the command line.
struct AblationRequest {
  std::filesystem::path config;
  std::vector<std::string> overrides;  ///< Of it, "key=value".
  std::filesystem::path out = "reproduce-out";
  std::filesystem::path queries;  ///< A query set that is there; empty: OUT/queries is made.
  Device device;                  ///< Where everything is trained, fingerprinted and searched.
  bool progress = true;
};

/// One training.
struct AblationRun {
  std::string variation;  ///< Empty: as configured.
  std::uint64_t seed = 0;
  train::TrainOptions options;
  std::string config;  ///< Everything that the result depends on, YAML.

  /// Below OUT.
  std::filesystem::path folder() const;
};

/// Every variation, the unchanged configuration first, with one seed. Throws Error where a configuration is wrong.
std::vector<AblationRun> plan_runs(const AblationOptions& options, const AblationRequest& request, std::uint64_t seed);

/// Trains and searches what is missing, and returns the table as Markdown; nothing where `stop` was set before the end:
/// all that was done is kept. `say` gets a line for each stage. Throws Error.
std::optional<std::string> ablate(const ReproduceOptions& options, const AblationRequest& request,
                                  const std::atomic<bool>& stop, const Say& say);

}  // namespace earmark::experiments
