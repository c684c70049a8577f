// What ablations have measured, and the table of it: means and deviations over seeds.
#pragma once

#include <string>
#include <vector>

#include "experiments/evaluate.h"
#include "experiments/rate.h"
#include "experiments/table.h"

namespace earmark::experiments {

/// One model and one way of searching, on the queries with noise + reverb.
struct AblationMeasured {
  std::uint64_t seed = 0;
  std::string run;                       ///< Folder of the training.
  std::vector<std::vector<Rate>> place;  ///< [length][SNR]: right track and at most 50 ms off.
  std::vector<std::vector<Rate>> track;  ///< The same: right track.
  double ms_per_query = 0;               ///< Of the full length.
  double bytes_per_hour = 0;
};

/// The same with every seed.
struct AblationRow {
  std::string group;  ///< "training", "search"
  std::string label;  ///< "encoder.attention=none"
  std::vector<AblationMeasured> by_seed;
};

struct AblationResults {
  std::vector<double> lengths_s;
  std::vector<double> place_lengths_s;  ///< Shown, among those.
  double headline_s = 0;                ///< Whose tracks are shown, one of those.
  std::string setting;                  ///< What was searched, a sentence.
  std::size_t seeds = 0;                ///< Asked for.
  std::vector<AblationRow> rows;

  /// The row of this name, made where there is none.
  AblationRow& row(const std::string& group, const std::string& label);
};

/// One system of an evaluation of queries with noise + reverb.
AblationMeasured measured(const QuerySet& set, const Evaluation& evaluation, std::size_t system);

/// Mean and standard deviation (of a sample: over n - 1) of some values; the deviation of one value is 0.
struct Spread {
  double mean = 0;
  double deviation = 0;
};
Spread spread_of(const std::vector<double>& values);

/// All rows that have a value.
Table ablation_table(const AblationResults& results);
std::string ablations_markdown(const AblationResults& results);
/// Every seed's rates by length and SNR.
std::string ablations_json(const AblationResults& results);

}  // namespace earmark::experiments
