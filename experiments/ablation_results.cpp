#include "experiments/ablation_results.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "experiments/asked.h"
#include "experiments/judge.h"
#include "kernels/error.h"

namespace earmark::experiments {
namespace {

std::size_t position_of(double length_s, const std::vector<double>& lengths_s) {
  const auto found =
      std::find_if(lengths_s.begin(), lengths_s.end(), [&](double other) { return same_number(other, length_s); });
  check(found != lengths_s.end(), "ablations: no queries of ", length_s, " s");
  return static_cast<std::size_t>(found - lengths_s.begin());
}

// All SNRs together.
Rate total(const std::vector<Rate>& rates) {
  Rate out;
  for (const Rate& rate : rates) {
    out.hits += rate.hits;
    out.count += rate.count;
  }
  return out;
}

Cell spread_cell(const AblationRow& row, int decimals, const std::function<double(const AblationMeasured&)>& value_of) {
  std::vector<double> values;
  std::transform(row.by_seed.begin(), row.by_seed.end(), std::back_inserter(values), value_of);
  const Spread spread = spread_of(values);
  return {fixed(spread.mean, decimals), values.size() < 2 ? "" : "± " + fixed(spread.deviation, decimals), false};
}

nlohmann::json rates_json(const std::vector<std::vector<Rate>>& rates, const std::vector<double>& lengths_s) {
  nlohmann::json out = nlohmann::json::array();
  for (std::size_t length = 0; length < rates.size(); ++length) {
    for (std::size_t i = 0; i < rates[length].size(); ++i) {
      out.push_back({{"length_s", lengths_s[length]},
                     {"snr_db", kSnrsDb.at(i)},
                     {"hits", rates[length][i].hits},
                     {"n", rates[length][i].count}});
    }
  }
  return out;
}

}  // namespace

AblationRow& AblationResults::row(const std::string& group, const std::string& label) {
  const auto found = std::find_if(
      rows.begin(), rows.end(), [&](const AblationRow& other) { return other.group == group && other.label == label; });
  if (found != rows.end()) {
    return *found;
  }
  return rows.emplace_back(AblationRow{group, label, {}});
}

AblationMeasured measured(const QuerySet& set, const Evaluation& evaluation, std::size_t system) {
  Evaluation alone;
  alone.lengths_s = evaluation.lengths_s;
  alone.systems = {evaluation.systems[system]};
  const Verdicts verdicts = judge(set, alone, [](const std::string&) { return std::nullopt; });
  AblationMeasured out;
  for (const std::vector<Verdict>& of_length : verdicts.front()) {
    out.place.emplace_back();
    out.track.emplace_back();
    for (const Asked& asked : asked_of(data::DistortionKind::noise_reverb)) {
      out.place.back().push_back(hit_rate(set, of_length, Level::place, asked));
      out.track.back().push_back(hit_rate(set, of_length, Level::file, asked));
    }
  }
  out.ms_per_query = 1e3 * alone.systems.front().seconds;
  out.bytes_per_hour = alone.systems.front().bytes_per_hour;
  return out;
}

Spread spread_of(const std::vector<double>& values) {
  if (values.empty()) {
    return {};
  }
  const auto n = static_cast<double>(values.size());
  Spread out;
  for (const double value : values) {
    out.mean += value / n;
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - out.mean) * (value - out.mean);
  }
  out.deviation = values.size() < 2 ? 0 : std::sqrt(squares / (n - 1));
  return out;
}

Table ablation_table(const AblationResults& results) {
  const std::size_t headline = position_of(results.headline_s, results.lengths_s);
  Table table{"", "of", "changed", {}, {}, {}};
  std::size_t seeds = 0;
  std::int64_t queries = 0;
  for (const double length_s : results.place_lengths_s) {
    table.heads.push_back(str(length_s, " s"));
  }
  table.heads.push_back(str("track, ", results.headline_s, " s"));
  table.heads.push_back(str("ms per ", results.lengths_s.back(), " s query"));
  table.heads.emplace_back("MB per hour");
  for (const AblationRow& row : results.rows) {
    if (row.by_seed.empty()) {
      continue;
    }
    seeds = std::max(seeds, row.by_seed.size());
    queries = total(row.by_seed.front().track[headline]).count;
    Row shown{row.group, row.label, {}, false};
    for (const double length_s : results.place_lengths_s) {
      const std::size_t length = position_of(length_s, results.lengths_s);
      shown.cells.push_back(
          spread_cell(row, 1, [&](const AblationMeasured& m) { return total(m.place[length]).percent(); }));
    }
    shown.cells.push_back(
        spread_cell(row, 1, [&](const AblationMeasured& m) { return total(m.track[headline]).percent(); }));
    shown.cells.push_back(spread_cell(row, 2, [](const AblationMeasured& m) { return m.ms_per_query; }));
    shown.cells.back().small.clear();
    shown.cells.push_back(spread_cell(row, 2, [](const AblationMeasured& m) { return 1e-6 * m.bytes_per_hour; }));
    shown.cells.back().small.clear();
    table.rows.push_back(std::move(shown));
  }
  table.title =
      str("Ablations. Noise + reverb, 0 to 15 dB together: right track and at most 50 ms off, and right "
          "track; top-1 hit rate in %, mean ± deviation over ",
          seeds, seeds < results.seeds ? str(" of ", results.seeds) : "", seeds == 1 ? " seed" : " seeds",
          ", n = ", queries, " queries each");
  table.notes.emplace_back(
      "One thing is changed at a time. Training: an encoder trained so, searched exactly and ranked by the sequence "
      "score. Search: the encoder as configured, searched so. All rows answer the same queries; a seed is of a "
      "training's initial weights and of all that it draws.");
  return table;
}

std::string ablations_markdown(const AblationResults& results) {
  return "# Ablations\n\n" + results.setting + "\n\n" + to_markdown(ablation_table(results));
}

std::string ablations_json(const AblationResults& results) {
  nlohmann::json rows = nlohmann::json::array();
  for (const AblationRow& row : results.rows) {
    nlohmann::json seeds = nlohmann::json::array();
    for (const AblationMeasured& one : row.by_seed) {
      seeds.push_back({{"seed", one.seed},
                       {"run", one.run},
                       {"segment", rates_json(one.place, results.lengths_s)},
                       {"audio", rates_json(one.track, results.lengths_s)},
                       {"ms_per_query", one.ms_per_query},
                       {"bytes_per_hour", one.bytes_per_hour}});
    }
    rows.push_back({{"of", row.group}, {"changed", row.label}, {"seeds", seeds}});
  }
  const nlohmann::json out = {{"setting", results.setting}, {"lengths_s", results.lengths_s}, {"rows", rows}};
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace earmark::experiments
