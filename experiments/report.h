// One self-contained HTML page: the tables, hit rates as curves, how training went, queries to look at and listen to,
// and how all of it was made. The page itself is in experiments/report/*, which the build puts into the program.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "experiments/report_examples.h"
#include "experiments/tables.h"

namespace earmark::experiments {

/// A line of "How it was made".
struct Fact {
  std::string name;
  std::string value;
};

/// What a page shows beside the results; what is empty is left out.
struct ReportParts {
  std::filesystem::path training_run;   ///< Its log.csv as curves, its config.yaml as it is.
  std::string configuration;            ///< Of what made the results, YAML.
  std::vector<Fact> facts;              ///< Beside what the results themselves say.
  std::vector<Example> examples;        ///< In the order they are shown.
  std::filesystem::path chart_library;  ///< Chart.js, which the page carries; empty: it says that charts are missing.
};

/// The whole page. The tables' figures are those of results_json(), which it carries as <script id="results">. Throws
/// Error where a file named in `parts` cannot be read.
std::string report_html(const Results& results, const ReportParts& parts = {});

/// Where the system keeps Chart.js (Debian: libjs-chart.js); empty where it does not.
std::filesystem::path find_chart_library();

/// Commit and compiler of this program, processor, memory, system, device and the time (report_facts.cpp).
std::vector<Fact> machine_facts(Device device);
/// Seeds: of the queries, and of the training where its configuration is there.
std::vector<Fact> seed_facts(std::uint64_t query_seed, const std::filesystem::path& training_run);

/// A table as HTML, with a heading that has this id; with `winners` the best of each column is marked among the rows of
/// a group, and the best that was measured where a pale row is better (report_tables.cpp).
std::string table_html(const Table& table, const std::string& id, bool winners);

/// Points of each column of a run's log.csv against its step, means over about 1 % of the run, as a JSON object; {}
/// where there is no log (report_training.cpp).
std::string training_json(const std::filesystem::path& run);

/// Text that can stand inside <script type="application/json">: JSON has other ways to write '<'.
std::string script_safe(const std::string& json);

}  // namespace earmark::experiments
