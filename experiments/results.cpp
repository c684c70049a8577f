#include "experiments/results.h"

#include <algorithm>

namespace earmark::experiments {
namespace {

constexpr double kHeadlineS = 5;

std::vector<std::size_t> positions_of(const std::vector<double>& wanted, const std::vector<double>& all) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::any_of(wanted.begin(), wanted.end(), [&](double length_s) { return same_number(length_s, all[i]); })) {
      out.push_back(i);
    }
  }
  return out;
}

}  // namespace

std::size_t headline_system(const Evaluation& evaluation) {
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    if (evaluation.systems[s].method == "exact" && evaluation.systems[s].ranking == "scored") {
      return s;
    }
  }
  return 0;
}

std::size_t headline_length(const Results& results) {
  const std::vector<double>& all = results.evaluation.lengths_s;
  const std::vector<std::size_t> asked =
      positions_of(results.track_lengths_s.empty() ? all : results.track_lengths_s, all);
  for (const std::size_t length : asked) {
    if (same_number(all[length], kHeadlineS)) {
      return length;
    }
  }
  return asked.empty() ? all.size() - 1 : asked.back();
}

std::vector<std::size_t> place_lengths(const Results& results) {
  const std::vector<double>& all = results.evaluation.lengths_s;
  return positions_of(results.place_lengths_s.empty() ? all : results.place_lengths_s, all);
}

std::vector<std::size_t> track_lengths(const Results& results) {
  return results.track_lengths_s.empty() ? std::vector{headline_length(results)}
                                         : positions_of(results.track_lengths_s, results.evaluation.lengths_s);
}

bool answered(const Results& results, std::size_t system, std::size_t length) {
  const std::vector<Verdict>& verdicts = results.verdicts[system][length];
  return !results.evaluation.systems[system].places[length].empty() &&
         std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.asked; });
}

Rate rate_of(const Results& results, std::size_t system, std::size_t length, Level level, const Asked& asked) {
  return hit_rate(results.set, results.verdicts[system][length], level, asked);
}

Discordant against_ours(const Results& results, std::size_t system, std::size_t length, Level level,
                        const std::function<bool(const Query&)>& wanted) {
  const std::vector<Verdict>& ours = results.verdicts[headline_system(results.evaluation)][length];
  const std::vector<Verdict>& others = results.verdicts[system][length];
  Discordant out;
  for (std::size_t q = 0; q < results.set.queries.size(); ++q) {
    if (ours[q].asked && others[q].asked && wanted(results.set.queries[q])) {
      const bool our_hit = is_hit(ours[q], level);
      const bool their_hit = is_hit(others[q], level);
      out.only_first += our_hit && !their_hit ? 1 : 0;
      out.only_second += their_hit && !our_hit ? 1 : 0;
    }
  }
  return out;
}

}  // namespace earmark::experiments
