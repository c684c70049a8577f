// From a configuration, a model and a music collection to Tables 1 and 2, stage by stage. What is done is not done
// again, neither after a run that was cut off nor after one with other options.
//   OUT/index-*   the test database's fingerprints (unless another index is given), copies stored less precisely, and
//                 the same tracks' landmarks and fingerprints by other models
//   OUT/queries   the query set (unless another is given)
//   OUT/cells     the answers for each condition and method (answer_cells.h) and what is known of repeats (judge.h)
//   OUT/answers   what other systems answered, a file each (known_answers.h)
//   OUT/tables.md, results.json, answers.tsv, report.html
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/query_maker.h"
#include "experiments/results.h"
#include "experiments/say.h"
#include "experiments/test_database.h"
#include "train/config.h"

namespace earmark::experiments {

/// What is trained and searched in variations (ablations.h).
struct AblationOptions {
  std::vector<std::string> variations;  ///< Of the configuration: "a.b=c", several keys parted by " & ".
  std::vector<std::uint64_t> seeds;     ///< Of the trainings.
  std::vector<double> hops_s;           ///< Between fingerprints, of index and queries; the model's own comes first.

  bool asked_for() const { return !seeds.empty(); }
};

/// The section `reproduce` of a configuration.
struct ReproduceOptions {
  MusicToSearch database;
  QueryOptions queries;
  EvaluationOptions evaluation;         ///< Its lengths are those of both tables.
  std::vector<double> place_lengths_s;  ///< Of Table 1.
  std::vector<double> track_lengths_s;  ///< Of Table 2; empty: the headline length alone (results.h).
  /// The tables are made with the first of each; others are compared with it (choices.h). Empty: the index's own.
  std::vector<double> query_hops_s;
  std::vector<search::Precision> precisions;
  std::vector<std::string> landmarks;     ///< Settings of landmarks that answer the queries too (other_systems.h).
  std::vector<train::NamedPath> models;   ///< Other models that do.
  double models_hop_s = 0;                ///< s between those models' fingerprints; 0: as in our index.
  std::vector<train::NamedPath> answers;  ///< Of other systems (other_systems.h).
  int report_examples = 9;                ///< Queries to look at and listen to in the report.
  AblationOptions ablations;              ///< Not asked for: the tables of one model.
};

/// Reads the section; other sections are left to other programs. Throws Error as Config does.
ReproduceOptions read_reproduce_options(train::Config& config);

/// What is asked for on the command line.
struct ReproduceRequest {
  std::filesystem::path model;
  std::filesystem::path out = "reproduce-out";
  std::filesystem::path index;             ///< An index that is there; empty: OUT/index is built from the database.
  std::filesystem::path queries;           ///< A query set that is there; empty: OUT/queries is made.
  std::vector<train::NamedPath> answers;   ///< Of other systems to the same queries, beside the configuration's.
  std::vector<train::NamedPath> compared;  ///< Models beside those of the configuration.
  std::filesystem::path training_run;      ///< For the report; empty: the model's folder where that has a log.csv.
  std::string configuration;               ///< As it was read, YAML, for the report.
  Device device;                           ///< Where queries are fingerprinted and searched.
  bool progress = true;
};

/// Runs what is missing and returns the tables as Markdown. `say` gets a line for each stage. Throws Error.
std::string reproduce(const ReproduceOptions& options, const ReproduceRequest& request, const Say& say);

}  // namespace earmark::experiments
