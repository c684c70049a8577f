#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <tuple>

#include "experiments/bench_search.h"
#include "kernels/conv.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

using Cells = std::map<std::string, double>;

// Percent of the cells that the tables show: segment level for noise + reverb at every length, audio level at the
// longest.
Cells cells_of(const nlohmann::json& results, const std::string& search, double longest_s) {
  Cells out;
  for (const nlohmann::json& cell : results.at("cells")) {
    if (cell.at("search") != search) {
      continue;
    }
    const std::string condition = cell.at("condition");
    const double length_s = cell.at("length_s");
    const std::string name = str(condition, " ", cell.at("snr_db").dump(), " dB ", cell.at("rt60_s").dump(), " s");
    if (condition == "noise+reverb" || condition == "clean") {
      out[str("segment level, ", length_s, " s, ", name)] = cell.at("segment").at("percent");
    }
    if (length_s == longest_s) {
      out[str("audio level, ", length_s, " s, ", name)] = cell.at("audio").at("percent");
    }
  }
  return out;
}

}  // namespace

BenchResult bench_lsh(const LshBenchOptions& options, std::ostream& log) {
  const kernels::Bf16ProductsScope products(true);  // as the programs do
  std::ifstream in(options.results);
  check(in.is_open(), options.results.string(), ": cannot be opened; run ./demo or reproduce first");
  const nlohmann::json results = nlohmann::json::parse(in, nullptr, false);
  check(!results.is_discarded() && results.contains("cells"), options.results.string(),
        ": not the results.json of reproduce");
  double longest_s = 0;
  for (const nlohmann::json& cell : results.at("cells")) {
    longest_s = std::max(longest_s, cell.at("length_s").get<double>());
  }
  double lost = 0;
  double exact_sum = 0;
  double lsh_sum = 0;
  std::size_t count = 0;
  for (const char* ranking : {"scored", "vote"}) {
    const Cells exact = cells_of(results, str("exact, ", ranking), longest_s);
    const Cells lsh = cells_of(results, str("LSH, ", ranking), longest_s);
    check(!exact.empty() && exact.size() == lsh.size(), options.results.string(),
          ": has no figures for both exact search and LSH");
    double worst = -100;
    double lost_here = 0;
    std::string where;
    for (const auto& [name, percent] : exact) {
      const double loss = percent - lsh.at(name);
      lost_here += loss;
      exact_sum += percent;
      lsh_sum += lsh.at(name);
      ++count;
      if (loss > worst) {
        worst = loss;
        where = name;
      }
    }
    lost += lost_here;
    log << ranking << ": LSH loses " << lost_here / static_cast<double>(exact.size())
        << " points on average, and most, " << worst << " points, at " << where << '\n';
  }
  return {"lsh", lost / static_cast<double>(count), "points below exact", "exact search", lsh_sum / exact_sum};
}

}  // namespace earmark::experiments
