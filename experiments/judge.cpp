#include "experiments/judge.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "data/decode.h"
#include "data/progress.h"
#include "experiments/protocol.h"
#include "experiments/repeats.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::experiments {
namespace {

constexpr double kRounding = 1e-9;  // "Inclusive" must not depend on how 0.05 is rounded.

bool is_near(double a_s, double b_s) { return std::abs(a_s - b_s) <= kToleranceS + kRounding; }

// Answers with the right file at a place that may sound the same, by true start, found start and length. Many systems
// answer alike: each is compared once.
using DoubtKey = std::tuple<double, double, double>;
using Doubts = std::map<std::string, std::map<DoubtKey, std::vector<Verdict*>>>;

bool named_equivalent(const Query& query, double found_s) {
  return std::any_of(query.equivalents.begin(), query.equivalents.end(), [&](const Equivalent& place) {
    return place.correlation > kSameSound && is_near(place.start_s, found_s);
  });
}

const Answer& file_answer(const SystemAnswers& system, std::size_t length, std::size_t query) {
  return (system.files.empty() ? system.places : system.files)[length][query];
}

void judge_one(const Query& query, const Answer& file, const Answer& place, double length_s, Verdict& verdict,
               Doubts& doubts) {
  verdict.asked = has_length(query, length_s);
  if (!verdict.asked) {
    return;
  }
  verdict.file = file.track == query.track;
  const bool right = place.track == query.track;
  verdict.place = right && is_near(place.start_s, query.start_s);
  verdict.same_sound = verdict.place || (right && named_equivalent(query, place.start_s));
  if (right && !verdict.same_sound) {
    // To the millisecond: answers that differ by less are one question.
    const double found_s = std::round(place.start_s * 1000) / 1000;
    doubts[query.track][{query.start_s, found_s, length_s}].push_back(&verdict);
  }
}

void settle(const std::filesystem::path& file, const std::map<DoubtKey, std::vector<Verdict*>>& doubts) {
  std::vector<float> pcm;
  try {
    pcm = data::decode_audio(file);
  } catch (const Error&) {
    return;  // Not at hand after all: the answers stay wrong.
  }
  if (pcm.size() < 16000) {
    return;
  }
  const RepeatFinder finder(pcm);
  for (const auto& [key, verdicts] : doubts) {
    const auto [start_s, found_s, length_s] = key;
    const bool same = finder.best_correlation(start_s, found_s, length_s, kToleranceS) > kSameSound;
    for (Verdict* verdict : verdicts) {
      verdict->same_sound = same;
    }
  }
}

}  // namespace

Verdicts judge(const QuerySet& set, const Evaluation& evaluation, const FindTrack& find_track, bool progress) {
  const std::size_t lengths = evaluation.lengths_s.size();
  Verdicts out(evaluation.systems.size(),
               std::vector<std::vector<Verdict>>(lengths, std::vector<Verdict>(set.queries.size())));
  Doubts doubts;
  for (std::size_t s = 0; s < evaluation.systems.size(); ++s) {
    const SystemAnswers& system = evaluation.systems[s];
    for (std::size_t l = 0; l < lengths; ++l) {
      for (std::size_t q = 0; q < set.queries.size() && !system.places[l].empty(); ++q) {
        judge_one(set.queries[q], file_answer(system, l, q), system.places[l][q], evaluation.lengths_s[l], out[s][l][q],
                  doubts);
      }
    }
  }
  std::vector<std::pair<std::filesystem::path, const std::map<DoubtKey, std::vector<Verdict*>>*>> work;
  for (const auto& [track, questions] : doubts) {
    if (const auto file = find_track(track)) {
      work.emplace_back(*file, &questions);
    }
  }
  data::Progress bar("comparing places", static_cast<std::int64_t>(work.size()), "tracks", progress && !work.empty());
  parallel_for(static_cast<std::int64_t>(work.size()), [&](std::int64_t i) {
    settle(work[static_cast<std::size_t>(i)].first, *work[static_cast<std::size_t>(i)].second);
    bar.add();
  });
  return out;
}

Rate hit_rate(const QuerySet& set, const std::vector<Verdict>& verdicts, Level level,
              const std::function<bool(const Query&)>& wanted) {
  Rate rate;
  for (std::size_t q = 0; q < set.queries.size(); ++q) {
    if (!verdicts[q].asked || !wanted(set.queries[q])) {
      continue;
    }
    const Verdict& verdict = verdicts[q];
    rate.add(level == Level::file ? verdict.file : level == Level::place ? verdict.place : verdict.same_sound);
  }
  return rate;
}

}  // namespace earmark::experiments
