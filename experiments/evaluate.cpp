#include "experiments/evaluate.h"

#include <algorithm>
#include <optional>

#include "data/progress.h"
#include "experiments/answer_cells.h"
#include "experiments/clock.h"
#include "experiments/query_groups.h"
#include "experiments/query_rows.h"
#include "kernels/error.h"
#include "search/calibration.h"
#include "search/matcher.h"
#include "search/query.h"

namespace earmark::experiments {
namespace {

using search::Match;
using search::Matcher;
using search::MatcherOptions;
using search::Method;
using search::Neighbours;
using search::Ranking;

// One database; nothing is prepared for a search that is not needed.
class StoreSearch {
 public:
  StoreSearch(const search::IndexStore& store, const EvaluationOptions& options, int ratio)
      : store_(store), options_(options) {
    matching_.neighbours = options.neighbours;
    matching_.query_ratio = ratio;
    matching_.lsh = options.lsh_options;
    database_ = contents_key(store);
  }

  const search::IndexStore& store() const { return store_; }

  // Everything that the answers to these queries depend on.
  std::string key(Method method, const std::string& queries) const {
    const search::LshOptions& lsh = matching_.lsh;
    const auto& calibration = store_.calibration();
    std::string out = str("version 3; model ", store_.format().model_hash, "; database ", database_, "; matches by ",
                          calibration ? search::to_json(*calibration) : "default", "; query ratio ",
                          matching_.query_ratio, "; ", matching_.neighbours, " neighbours; lengths");
    for (const double length_s : options_.lengths_s) {
      out += str(' ', length_s);
    }
    out += method == Method::exact ? std::string(options_.sequence ? "; exact; sequence" : "; exact")
                                   : str("; LSH ", lsh.tables, ' ', lsh.bits, ' ', lsh.rotations, ' ', lsh.probes, ' ',
                                         lsh.seed, ' ', lsh.max_candidates, ' ', lsh.max_entries);
    return out + "; queries " + queries;
  }

  AnswerCell search(Method method, QueryRows& rows, std::size_t queries, data::Progress& progress) {
    prepare(method);
    AnswerCell cell(options_.lengths_s.size(), queries);
    for (std::size_t b = 0; b < rows.batches(); ++b) {
      const QueryBatch& batch = rows.batch(b);
      const double begun = now_s();
      const Neighbours near = (method == Method::lsh ? *lsh_ : rankers_.front()).neighbours(batch.rows);
      const double searched = now_s();
      rank(batch, near, method, cell);
      cell.search_s += searched - begun;
      cell.rank_s += now_s() - searched;
      progress.add(static_cast<std::int64_t>(batch.ranges.size()));
    }
    cell.fingerprint_s = rows.seconds();
    return cell;
  }

 private:
  void prepare(Method method) {
    // Rankings do not depend on how neighbours were found: these serve both methods, in the order of CellRanking.
    for (const Ranking ranking : {Ranking::vote, Ranking::vote_track, Ranking::scored}) {
      if (rankers_.size() < kSequence) {
        matching_.ranking = ranking;
        rankers_.emplace_back(store_, matching_);
      }
    }
    if (options_.sequence && rankers_.size() == kSequence) {  // as its authors have it, with neighbours of its own
      MatcherOptions sequence = matching_;
      sequence.ranking = Ranking::sequence;
      sequence.neighbours = search::default_neighbours(Ranking::sequence);
      rankers_.emplace_back(store_, sequence);
    }
    if (method == Method::lsh && !lsh_) {
      MatcherOptions hashed = matching_;
      hashed.method = Method::lsh;
      lsh_.emplace(store_, hashed);
    }
  }

  void rank(const QueryBatch& batch, const Neighbours& near, Method method, AnswerCell& cell) const {
    std::vector<search::QueryRange> queries;
    std::vector<std::pair<std::size_t, std::size_t>> places;  // of their answers: length and query
    for (std::size_t q = 0; q < batch.ranges.size(); ++q) {
      for (std::size_t length = 0; length < batch.ranges[q].size(); ++length) {
        if (const auto& range = batch.ranges[q][length]) {
          queries.push_back({range->first, range->second});
          places.emplace_back(length, batch.first + q);
        }
      }
    }
    for (std::size_t ranking = 0; ranking < rankers_.size(); ++ranking) {
      if (ranking == kSequence && method != Method::exact) {
        continue;
      }
      const Matcher& ranker = rankers_[ranking];
      const std::vector<std::vector<Match>> matches =
          ranker.rank(batch.rows, ranking == kSequence ? ranker.neighbours(batch.rows) : near, queries);
      for (std::size_t i = 0; i < places.size(); ++i) {
        cell.answers.at(ranking)[places[i].first][places[i].second] = answer_of(matches[i]);
      }
    }
  }

  const search::IndexStore& store_;
  const EvaluationOptions& options_;
  MatcherOptions matching_;
  std::string database_;  // what its rows are and where they come from
  std::vector<Matcher> rankers_;
  std::optional<Matcher> lsh_;
};

// Of all methods: scored first, which is what `search` does by itself; NAFP's sequence search last.
Evaluation empty_evaluation(const EvaluationOptions& options, std::size_t queries) {
  Evaluation out;
  out.lengths_s = options.lengths_s;
  const std::vector<std::vector<Answer>> empty(options.lengths_s.size(), std::vector<Answer>(queries));
  for (const std::string method : {"exact", "LSH"}) {
    if (method == "exact" || options.lsh) {
      out.systems.push_back({method + ", scored", method, "scored", empty, {}});
      out.systems.push_back({method + ", vote", method, "vote", empty, empty});
    }
  }
  if (options.sequence) {
    out.systems.push_back({"exact, sequence", "exact", "sequence", empty, {}});
  }
  return out;
}

// Puts a cell's answers where they belong; its seconds are added up.
void add_cell(const AnswerCell& cell, Method method, const QueryGroup& group, Evaluation& evaluation) {
  const std::size_t system = method == Method::lsh ? 2 : 0;
  SystemAnswers& scored = evaluation.systems.at(system);
  SystemAnswers& vote = evaluation.systems.at(system + 1);
  for (std::size_t length = 0; length < evaluation.lengths_s.size(); ++length) {
    for (std::size_t i = 0; i < group.queries.size(); ++i) {
      const std::size_t q = group.queries[i];
      scored.places[length][q] = cell.answers[kScored][length][i];
      vote.places[length][q] = cell.answers[kVote][length][i];
      vote.files[length][q] = cell.answers[kVoteTrack][length][i];
      if (method == Method::exact && evaluation.systems.back().ranking == "sequence") {
        evaluation.systems.back().places[length][q] = cell.answers[kSequence][length][i];
      }
    }
  }
  SecondsPerQuery& seconds = evaluation.seconds;
  seconds.fingerprint += method == Method::exact ? cell.fingerprint_s : 0;
  (method == Method::lsh ? seconds.lsh : seconds.exact) += cell.search_s;
  seconds.rank += cell.rank_s;
}

class Evaluator {
 public:
  Evaluator(const QuerySet& set, const nn::Fingerprinter& fingerprinter,
            const std::vector<const search::IndexStore*>& stores, const EvaluationOptions& options)
      : set_(set), fingerprinter_(fingerprinter), options_(options) {
    const int ratio = search::query_ratio(stores.front()->format(), options.query_hop_s);
    const int hop_frames = search::hop_frames_of(fingerprinter.model(), stores.front()->format());
    check(hop_frames % ratio == 0, "query hop: ", options.query_hop_s, " s is not a whole number of frames");
    hop_frames_ = hop_frames / ratio;
    for (const search::IndexStore* store : stores) {
      searches_.emplace_back(*store, options, ratio);
      out_.push_back(empty_evaluation(options, set.queries.size()));
    }
    methods_ = options.lsh ? std::vector{Method::exact, Method::lsh} : std::vector{Method::exact};
  }

  std::vector<Evaluation> run() {
    const std::size_t cells = searches_.size() * methods_.size();
    data::Progress progress("searching", static_cast<std::int64_t>(set_.queries.size() * cells), "queries",
                            options_.progress);
    for (const QueryGroup& group : groups_of(set_)) {
      run_group(group, progress);
    }
    for (std::size_t s = 0; s < out_.size(); ++s) {
      Evaluation& evaluation = out_[s];
      const auto n = static_cast<double>(std::max<std::size_t>(1, set_.queries.size()));
      SecondsPerQuery& seconds = evaluation.seconds;
      seconds.fingerprint /= n;
      seconds.exact /= n;
      seconds.lsh /= n;
      const std::size_t rankings = kSequence * methods_.size() + (options_.sequence ? 1 : 0);
      seconds.rank /= n * static_cast<double>(rankings * options_.lengths_s.size());
      for (SystemAnswers& system : evaluation.systems) {
        system.seconds = seconds.fingerprint + (system.method == "LSH" ? seconds.lsh : seconds.exact) + seconds.rank;
        system.bytes_per_hour = bytes_per_hour(searches_[s].store());
      }
    }
    return std::move(out_);
  }

 private:
  void run_group(const QueryGroup& group, data::Progress& progress) {
    QueryRows rows(set_, group.queries, fingerprinter_, hop_frames_, options_.lengths_s, options_.batch);
    const std::string queries = queries_key(set_, group);
    for (std::size_t s = 0; s < searches_.size(); ++s) {
      for (const Method method : methods_) {
        add_cell(cell_of(group, searches_[s], method, queries, rows, out_[s], progress), method, group, out_[s]);
      }
    }
  }

  // From the disk where it is there.
  AnswerCell cell_of(const QueryGroup& group, StoreSearch& search, Method method, const std::string& queries,
                     QueryRows& rows, Evaluation& evaluation, data::Progress& progress) const {
    const std::string key = search.key(method, queries);
    const std::filesystem::path file =
        cell_file(options_.cells, group.label + (method == Method::lsh ? ".lsh" : ".exact"), key);
    ++evaluation.cells;
    if (!options_.cells.empty()) {
      if (auto cell = read_cell(file, key, options_.lengths_s.size(), group.queries.size())) {
        progress.add(static_cast<std::int64_t>(group.queries.size()));
        return std::move(*cell);
      }
    }
    ++evaluation.searched;
    AnswerCell cell = search.search(method, rows, group.queries.size(), progress);
    if (!options_.cells.empty()) {
      write_cell(file, key, cell);
    }
    return cell;
  }

  const QuerySet& set_;
  const nn::Fingerprinter& fingerprinter_;
  const EvaluationOptions& options_;
  int hop_frames_ = 0;
  std::vector<Method> methods_;
  std::vector<StoreSearch> searches_;
  std::vector<Evaluation> out_;
};

}  // namespace

double bytes_per_hour(const search::IndexStore& store) {
  double seconds = 0;
  for (const search::Track& track : store.tracks()) {
    seconds += track.duration_s;
  }
  return static_cast<double>(store.segment_bytes()) / std::max(1e-9, seconds / 3600);
}

Answer answer_of(const std::vector<Match>& matches) {
  if (matches.empty()) {
    return {};
  }
  const Match& best = matches.front();
  return {best.track, best.start_s, best.score, best.matched};
}

std::vector<Evaluation> evaluate(const QuerySet& set, const nn::Fingerprinter& fingerprinter,
                                 const std::vector<const search::IndexStore*>& stores,
                                 const EvaluationOptions& options) {
  check(!stores.empty(), "nothing to search in");
  const std::string hash = nn::model_hash(fingerprinter.model());
  for (const search::IndexStore* store : stores) {
    check(hash == store->format().model_hash, store->folder().string(), ": was built with another model");
    check(store->database().rows() > 0, store->folder().string(), ": the index is empty");
    check(store->format().hop_samples == stores.front()->format().hop_samples, store->folder().string(),
          ": has another hop than ", stores.front()->folder().string());
  }
  return Evaluator(set, fingerprinter, stores, options).run();
}

}  // namespace earmark::experiments
