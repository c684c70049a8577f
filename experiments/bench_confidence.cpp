#include <algorithm>
#include <map>
#include <ostream>
#include <utility>

#include "experiments/baseline.h"
#include "experiments/bench_search.h"
#include "experiments/evaluate.h"
#include "experiments/query_maker.h"
#include "experiments/rate.h"
#include "kernels/error.h"
#include "nn/model.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

// What became of queries of one length, all conditions together and each.
struct Outcomes {
  Rate matched;  // of all answers
  Rate right;    // right tracks called matches, of right tracks
  std::map<std::string, Rate> by_condition;
};

std::string condition_of(const Query& query) {
  return query.snr_db ? str(query.condition, " ", *query.snr_db, " dB") : query.condition;
}

// By landmarks, or by the index's own fingerprints and the sequence score.
SystemAnswers answers_to(const QuerySet& set, const search::IndexStore& store, const ConfidenceBenchOptions& options) {
  if (store.format().landmarks) {
    BaselineOptions baseline;
    baseline.lengths_s = options.lengths_s;
    BaselineCells cells;
    return answers_of_baseline("landmarks", store, set, baseline, cells);
  }
  EvaluationOptions evaluation;
  evaluation.lengths_s = options.lengths_s;
  evaluation.lsh = false;
  const nn::Fingerprinter fingerprinter = search::load_fingerprinter(options.index, store.format());
  Evaluation done = evaluate(set, fingerprinter, {&store}, evaluation).at(0);
  const auto scored = std::find_if(done.systems.begin(), done.systems.end(),
                                   [](const SystemAnswers& system) { return system.ranking == "scored"; });
  check(scored != done.systems.end(), "confidence: the evaluation has no scored answers");
  return std::move(*scored);
}

std::vector<Outcomes> outcomes(const QuerySet& set, const search::IndexStore& store,
                               const ConfidenceBenchOptions& options) {
  const SystemAnswers scored = answers_to(set, store, options);
  std::vector<Outcomes> out(options.lengths_s.size());
  for (std::size_t length = 0; length < out.size(); ++length) {
    for (std::size_t i = 0; i < set.queries.size(); ++i) {
      const Answer& answer = scored.places.at(length).at(i);
      out[length].matched.add(answer.matched);
      out[length].by_condition[condition_of(set.queries[i])].add(answer.matched);
      if (answer.track == set.queries[i].track) {
        out[length].right.add(answer.matched);
      }
    }
  }
  return out;
}

std::string rate_text(const Rate& rate) {
  const Interval interval = rate.interval();
  return str(rate.percent(), " % [", 100 * interval.low, ", ", 100 * interval.high, "] of ", rate.count);
}

}  // namespace

BenchResult bench_confidence(const ConfidenceBenchOptions& options, std::ostream& log) {
  const search::IndexStore store = search::IndexStore::open(options.index);
  const auto ask = [&](const std::filesystem::path& music, const char* name) {
    QueryOptions queries;
    queries.excerpts = options.excerpts;
    queries.length_s = options.lengths_s.back();
    queries.speech = options.speech;
    queries.seed = options.seed;
    return outcomes(make_queries(options.out / name, data::list_audio_files(music), queries), store, options);
  };
  const std::vector<Outcomes> absent = ask(options.absent, "absent");
  const std::vector<Outcomes> present = ask(options.music, "present");
  double worst = 0;
  for (std::size_t i = 0; i < absent.size(); ++i) {
    log << options.lengths_s[i] << " s: matches among absent queries " << rate_text(absent[i].matched)
        << "; right answers called matches " << rate_text(present[i].right) << "\n";
    for (const auto& [condition, rate] : absent[i].by_condition) {
      log << "    absent, " << condition << ": " << rate_text(rate) << "\n";
    }
    worst = std::max(worst, absent[i].matched.percent());
  }
  constexpr double kAllowed = 1;  // %
  constexpr double kLeast = 0.01;
  return {"confidence", worst, "% false matches, worst length", "1 % allowed", kAllowed / std::max(worst, kLeast)};
}

}  // namespace earmark::experiments
