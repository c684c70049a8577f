// The figures behind the tables as JSON.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/tables.h"

namespace earmark::experiments {
namespace {

nlohmann::json rate_json(const Rate& rate) {
  const Interval interval = rate.interval();
  return {{"hits", rate.hits},
          {"n", rate.count},
          {"percent", rate.percent()},
          {"interval", {100 * interval.low, 100 * interval.high}}};
}

nlohmann::json text_json(const std::string& text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); }

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

// The figure of the column that stands for `value`.
template <class Values>
nlohmann::json figure_json(const std::vector<PaperRow>& rows, const Values& values, std::optional<double> value) {
  for (std::size_t i = 0; !rows.empty() && i < values.size(); ++i) {
    if (value && std::abs(values.at(i) - *value) < 1e-9) {
      return rows.front().percent.at(i);
    }
  }
  return nullptr;
}

// What the paper prints for this condition: Table 1 has noise + reverb, Table 2 is taken to be of its longest queries.
nlohmann::json paper_json(const Query& condition, double length_s) {
  nlohmann::json out = {{"segment", nullptr}, {"audio", nullptr}};
  if (condition.condition == "noise+reverb") {
    out["segment"] = figure_json(paper_table_1(length_s), kSnrsDb, condition.snr_db);
  }
  for (const data::DistortionKind kind :
       {data::DistortionKind::noise, data::DistortionKind::noise_reverb, data::DistortionKind::reverb}) {
    if (condition.condition == Condition{kind, {}, {}}.name() && length_s == kLengthsS.back()) {
      out["audio"] = kind == data::DistortionKind::reverb ? figure_json(paper_table_2(kind), kRt60sS, condition.rt60_s)
                                                          : figure_json(paper_table_2(kind), kSnrsDb, condition.snr_db);
    }
  }
  return out;
}

// Against ours on the same queries; null for ours itself.
nlohmann::json mcnemar_json(const Results& results, std::size_t system, std::size_t length,
                            const std::function<bool(const Query&)>& wanted) {
  if (system == headline_system(results.evaluation)) {
    return nullptr;
  }
  nlohmann::json out;
  for (const auto& [name, level] : {std::pair("audio", Level::file), std::pair("segment", Level::place)}) {
    const Discordant pairs = against_ours(results, system, length, level, wanted);
    const McNemar test = mcnemar(pairs);
    out[name] = {{"only_ours", pairs.only_first},
                 {"only_this", pairs.only_second},
                 {"p", test.p},
                 {"test", test.exact ? "exact binomial" : "chi-squared, corrected"}};
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
  const SystemAnswers& answers = results.evaluation.systems[system];
  return {{"search", answers.name},
          {"method", text_json(answers.method)},
          {"ranking", text_json(answers.ranking)},
          {"length_s", results.evaluation.lengths_s[length]},
          {"condition", condition.condition},
          {"snr_db", optional_json(condition.snr_db)},
          {"rt60_s", optional_json(condition.rt60_s)},
          {"n", file.count},
          {"audio", rate_json(file)},
          {"segment", rate_json(hit_rate(results.set, verdicts, Level::place, wanted))},
          {"segment_100_ms", rate_json(hit_rate(results.set, verdicts, Level::within_100_ms, wanted))},
          {"segment_500_ms", rate_json(hit_rate(results.set, verdicts, Level::within_500_ms, wanted))},
          {"mcnemar", mcnemar_json(results, system, length, wanted)},
          {"segment_repeats_as_hits", rate_json(hit_rate(results.set, verdicts, Level::same_sound, wanted))},
          {"paper_percent", paper_json(condition, results.evaluation.lengths_s[length])}};
}

// What each system takes, where it is known.
nlohmann::json systems_json(const Evaluation& evaluation) {
  nlohmann::json out = nlohmann::json::array();
  for (const SystemAnswers& system : evaluation.systems) {
    out.push_back({{"search", system.name},
                   {"answers_from_earlier", system.earlier},
                   {"seconds_per_query", system.seconds > 0 ? nlohmann::json(system.seconds) : nullptr},
                   {"bytes_per_hour", system.seconds > 0 ? nlohmann::json(system.bytes_per_hour) : nullptr}});
  }
  return out;
}

nlohmann::json lengths_json(const Results& results, const std::vector<std::size_t>& lengths) {
  nlohmann::json out = nlohmann::json::array();
  for (const std::size_t length : lengths) {
    out.push_back(results.evaluation.lengths_s[length]);
  }
  return out;
}

nlohmann::json choice_json(const Choice& choice) {
  nlohmann::json rates = nlohmann::json::array();
  for (std::size_t i = 0; i < choice.rates.size(); ++i) {
    rates.push_back({{"length_s", choice.lengths_s.at(i)}, {"segment", rate_json(choice.rates[i])}});
  }
  return {{"precision", choice.precision},
          {"query_hop_s", choice.query_hop_s},
          {"method", choice.method},
          {"rates", rates},
          {"ms_per_query", choice.ms_per_query},
          {"bytes_per_hour", choice.bytes_per_hour}};
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
  for (const RepeatShare& share : repeat_shares(results.set)) {
    repeats.push_back(
        {{"length_s", share.length_s}, {"same", rate_json(share.same)}, {"similar", rate_json(share.similar)}});
  }
  nlohmann::json choices = nlohmann::json::array();
  for (const Choice& choice : results.choices) {
    choices.push_back(choice_json(choice));
  }
  const Setting& setting = results.setting;
  const SecondsPerQuery& seconds = results.evaluation.seconds;
  const nlohmann::json out = {
      {"database",
       {{"name", setting.database},
        {"tracks", setting.tracks},
        {"hours", setting.hours},
        {"fingerprints", setting.fingerprints},
        {"precision", setting.precision}}},
      {"query_hop_s", setting.query_hop_s},
      {"model", setting.model},
      {"queries", setting.queries},
      {"lengths_s",
       {{"table_1", lengths_json(results, place_lengths(results))},
        {"table_2", lengths_json(results, track_lengths(results))},
        {"headline", results.evaluation.lengths_s[headline_length(results)]}}},
      {"systems", systems_json(results.evaluation)},
      {"left_out", results.evaluation.left_out},
      {"cells", cells},
      {"repeats", repeats},
      {"choices", choices},
      {"seconds_per_query",
       {{"fingerprint", seconds.fingerprint}, {"exact", seconds.exact}, {"lsh", seconds.lsh}, {"rank", seconds.rank}}}};
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace earmark::experiments
