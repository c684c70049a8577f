// Which queries a report shows.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "experiments/report_examples.h"

namespace earmark::experiments {
namespace {

using ConditionKey = std::tuple<std::string, std::optional<double>, std::optional<double>>;

ConditionKey key_of(const Query& query) { return {query.condition, query.snr_db, query.rt60_s}; }

// How easy the condition of a query is: the share of its queries that are answered right.
std::map<ConditionKey, Rate> rates_of(const Results& results, const std::vector<Verdict>& verdicts) {
  std::map<ConditionKey, Rate> out;
  for (std::size_t q = 0; q < verdicts.size(); ++q) {
    if (verdicts[q].asked) {
      out[key_of(results.set.queries[q])].add(verdicts[q].same_sound);
    }
  }
  return out;
}

// The first `count` whose tracks differ.
std::vector<std::size_t> of_different_tracks(const Results& results, const std::vector<std::size_t>& queries,
                                             std::size_t count) {
  std::vector<std::size_t> out;
  std::set<std::string> tracks;
  for (const std::size_t q : queries) {
    if (out.size() < count && tracks.insert(results.set.queries[q].track).second) {
      out.push_back(q);
    }
  }
  return out;
}

}  // namespace

std::vector<std::size_t> choose_examples(const Results& results, int count) {
  if (results.evaluation.systems.empty() || results.evaluation.lengths_s.empty() || count <= 0) {
    return {};
  }
  const std::size_t system = headline_system(results.evaluation);
  const std::size_t length = headline_length(results);
  const std::vector<Verdict>& verdicts = results.verdicts[system][length];
  const std::vector<Answer>& answers = results.evaluation.systems[system].places[length];
  const std::map<ConditionKey, Rate> rates = rates_of(results, verdicts);
  const auto ease = [&](std::size_t q) { return rates.at(key_of(results.set.queries[q])).share(); };
  std::vector<std::size_t> right;
  std::vector<std::size_t> wrong;
  for (std::size_t q = 0; q < verdicts.size(); ++q) {
    if (verdicts[q].asked) {
      (verdicts[q].same_sound ? right : wrong).push_back(q);
    }
  }
  std::sort(right.begin(), right.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(ease(a), -answers[a].score, a) < std::tuple(ease(b), -answers[b].score, b);
  });
  std::sort(wrong.begin(), wrong.end(), [&](std::size_t a, std::size_t b) {
    return std::tuple(verdicts[a].file, -ease(a), -answers[a].score, a) <
           std::tuple(verdicts[b].file, -ease(b), -answers[b].score, b);
  });
  const auto wanted = static_cast<std::size_t>(count);
  const std::size_t good = (wanted + 2) / 3;
  std::vector<std::size_t> out = of_different_tracks(results, right, good);
  const std::vector<std::size_t> failures = of_different_tracks(results, wrong, wanted - out.size());
  out.insert(out.end(), failures.begin(), failures.end());
  return out;
}

}  // namespace earmark::experiments
