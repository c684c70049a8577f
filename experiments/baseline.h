// Systems beside ours: another index over the same tracks answers the same queries. One of landmarks through what
// `search` uses (search/recognizer.h), one of another model as ours does (evaluate.h). What is done is kept, condition
// by condition, as ours is.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/query_set.h"
#include "search/index_store.h"
#include "search/indexer.h"

namespace earmark::experiments {

struct BaselineOptions {
  std::vector<double> lengths_s;
  std::filesystem::path cells;  ///< Folder where finished cells are kept and looked for; empty: none.
  bool progress = false;
};

/// How many cells there were, and how many of them were searched now.
struct BaselineCells {
  int all = 0;
  int searched = 0;
};

/// An index of landmarks in `folder`, of the tracks that `store` holds and no others; what is there already is kept.
/// Tracks whose files are gone are skipped and reported.
search::IndexReport index_landmarks(const std::filesystem::path& folder, const std::string& setting,
                                    const search::IndexStore& store, bool progress);

/// The same of fingerprints by another model, which `model_file` holds, `hop_frames` of its own apart.
search::IndexReport index_model(const std::filesystem::path& folder, const std::filesystem::path& model_file,
                                const nn::Fingerprinter& fingerprinter, int hop_frames, const search::IndexStore& store,
                                bool progress);

/// The landmarks' answers at every length, each query's beginnings being the shorter ones. Throws Error where a query
/// cannot be read.
SystemAnswers answers_of_baseline(const std::string& name, const search::IndexStore& store, const QuerySet& set,
                                  const BaselineOptions& options, BaselineCells& cells);

/// Another model's, by exact search and the sequence score, as ours are; of NAFP's encoders after them those by its
/// authors' sequence search. `options` are those of our evaluation.
std::vector<SystemAnswers> answers_of_model(const std::string& name, const search::IndexStore& store,
                                            const nn::Fingerprinter& fingerprinter, const QuerySet& set,
                                            EvaluationOptions options, BaselineCells& cells);

/// Whether answers_of_model() has answers by sequence search too, and what it calls them.
bool has_sequence_search(const nn::Model& model);
std::string by_sequence(const std::string& name);

}  // namespace earmark::experiments
