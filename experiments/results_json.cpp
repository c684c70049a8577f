// The figures behind the tables as JSON.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "experiments/tables.h"

namespace earmark::experiments {
namespace {

nlohmann::json rate_json(const Rate& rate) {
  const Interval interval = rate.interval();
  return {{"hits", rate.hits}, {"percent", rate.percent()}, {"interval", {100 * interval.low, 100 * interval.high}}};
}

nlohmann::json optional_json(const std::optional<double>& value) { return value ? nlohmann::json(*value) : nullptr; }

// Conditions of a set, in the order of its queries.
std::vector<Query> conditions_of(const QuerySet& set) {
  std::vector<Query> out;
  for (const Query& query : set.queries) {
    const bool known = std::any_of(out.begin(), out.end(), [&](const Query& other) {
      return other.condition == query.condition && other.snr_db == query.snr_db && other.rt60_s == query.rt60_s;
    });
    if (!known) {
      out.push_back(query);
    }
  }
  return out;
}

nlohmann::json cell_json(const Results& results, std::size_t system, std::size_t length, const Query& condition) {
  const auto wanted = [&](const Query& query) {
    return query.condition == condition.condition && query.snr_db == condition.snr_db &&
           query.rt60_s == condition.rt60_s;
  };
  const std::vector<Verdict>& verdicts = results.verdicts[system][length];
  const Rate file = hit_rate(results.set, verdicts, Level::file, wanted);
  return {{"search", results.evaluation.systems[system].name},
          {"length_s", results.evaluation.lengths_s[length]},
          {"condition", condition.condition},
          {"snr_db", optional_json(condition.snr_db)},
          {"rt60_s", optional_json(condition.rt60_s)},
          {"n", file.count},
          {"audio", rate_json(file)},
          {"segment", rate_json(hit_rate(results.set, verdicts, Level::place, wanted))},
          {"segment_repeats_as_hits", rate_json(hit_rate(results.set, verdicts, Level::same_sound, wanted))}};
}

}  // namespace

std::string results_json(const Results& results) {
  nlohmann::json cells = nlohmann::json::array();
  const std::vector<Query> conditions = conditions_of(results.set);
  for (std::size_t system = 0; system < results.verdicts.size(); ++system) {
    for (std::size_t length = 0; length < results.verdicts[system].size(); ++length) {
      for (const Query& condition : conditions) {
        nlohmann::json cell = cell_json(results, system, length, condition);
        if (cell["n"] != 0) {
          cells.push_back(std::move(cell));
        }
      }
    }
  }
  nlohmann::json repeats = nlohmann::json::array();
  for (const RepeatShare& share : results.repeats) {
    repeats.push_back({{"length_s", share.length_s}, {"same", share.same}, {"similar", share.similar}});
  }
  const Setting& setting = results.setting;
  const SecondsPerQuery& seconds = results.evaluation.seconds;
  const nlohmann::json out = {
      {"database",
       {{"name", setting.database},
        {"tracks", setting.tracks},
        {"hours", setting.hours},
        {"fingerprints", setting.fingerprints}}},
      {"model", setting.model},
      {"queries", setting.queries},
      {"cells", cells},
      {"repeats", repeats},
      {"seconds_per_query",
       {{"fingerprint", seconds.fingerprint}, {"exact", seconds.exact}, {"lsh", seconds.lsh}, {"rank", seconds.rank}}}};
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace earmark::experiments
