#include "experiments/evaluate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>

#include "data/decode.h"
#include "data/progress.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
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

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Answer answer_of(const std::vector<Match>& matches) {
  if (matches.empty()) {
    return {};
  }
  const Match& best = matches.front();
  return {best.track, best.start_s, best.score, best.matched};
}

Neighbours rows_of(const Neighbours& all, std::int64_t begin, std::int64_t end) {
  return {all.indices.slice(begin, end), all.scores.slice(begin, end)};
}

// The fingerprints of one query. A beginning's fingerprints are those of the whole, except where its last window would
// reach beyond its end: then the beginning is fingerprinted by itself.
struct QueryRows {
  std::vector<Tensor> parts;                                         // (rows, d) each
  std::vector<std::optional<std::pair<int, std::int64_t>>> lengths;  // for each length: part, and rows of it
};

QueryRows fingerprint(const Query& query, const std::filesystem::path& file, const nn::Fingerprinter& fingerprinter,
                      int hop_frames, const EvaluationOptions& options) {
  const FeatureOptions& features = fingerprinter.model().features;
  std::vector<float> pcm = data::decode_audio(file, features.sample_rate);
  check(!pcm.empty(), file.string(), ": no sound");
  if (query.length_s > 0) {
    pcm.resize(std::min(pcm.size(), static_cast<std::size_t>(std::llround(query.length_s * features.sample_rate))));
  }
  QueryRows out;
  out.parts.push_back(fingerprinter.fingerprints(pcm, hop_frames));
  for (const double length_s : options.lengths_s) {
    if (!has_length(query, length_s)) {
      out.lengths.emplace_back();
      continue;
    }
    const auto samples = std::min(static_cast<std::int64_t>(std::llround(length_s * features.sample_rate)),
                                  static_cast<std::int64_t>(pcm.size()));
    const std::int64_t rows = fingerprinter.count(samples, hop_frames);
    const std::int64_t last_frame = (rows - 1) * hop_frames + features.frames - 1;
    const bool cut_window = last_frame * features.hop + features.n_fft / 2 > samples;
    if (cut_window && samples < static_cast<std::int64_t>(pcm.size())) {
      out.parts.push_back(
          fingerprinter.fingerprints(std::span(pcm).first(static_cast<std::size_t>(samples)), hop_frames));
      out.lengths.emplace_back(std::pair(static_cast<int>(out.parts.size()) - 1, rows));
    } else {
      out.lengths.emplace_back(std::pair(0, rows));
    }
  }
  return out;
}

struct Batch {
  Tensor rows;                                   // of all queries and parts, one behind another
  std::vector<std::vector<std::int64_t>> first;  // [query][part]: row
};

Batch join(const std::vector<QueryRows>& queries) {
  Batch batch;
  std::int64_t count = 0;
  for (const QueryRows& query : queries) {
    std::vector<std::int64_t>& first = batch.first.emplace_back();
    for (const Tensor& part : query.parts) {
      first.push_back(count);
      count += part.dim(0);
    }
  }
  batch.rows = Tensor({count, queries.front().parts.front().dim(1)});
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::size_t p = 0; p < queries[q].parts.size(); ++p) {
      const Tensor& part = queries[q].parts[p];
      batch.rows.slice(batch.first[q][p], batch.first[q][p] + part.dim(0)).copy_from(part);
    }
  }
  return batch;
}

class Evaluator {
 public:
  Evaluator(const QuerySet& set, const nn::Fingerprinter& fingerprinter, const search::IndexStore& store,
            const EvaluationOptions& options)
      : set_(set),
        fingerprinter_(fingerprinter),
        options_(options),
        hop_frames_(search::hop_frames_of(fingerprinter.model(), store.format()) / options.query_ratio) {
    MatcherOptions matching;
    matching.neighbours = options.neighbours;
    matching.query_ratio = options.query_ratio;
    matching.lsh = options.lsh_options;
    // Rankings do not depend on how neighbours were found: these three serve both methods.
    for (const Ranking ranking : {Ranking::vote, Ranking::vote_track, Ranking::scored}) {
      matching.ranking = ranking;
      rankers_.emplace_back(store, matching);
    }
    if (options.lsh) {
      matching.method = Method::lsh;
      lsh_.emplace(store, matching);
    }
    out_.lengths_s = options.lengths_s;
    for (const char* method : {"exact", "LSH"}) {
      if (options.lsh || out_.systems.size() < 2) {
        add_system(str(method, ", vote"), true);
        add_system(str(method, ", scored"), false);
      }
    }
  }

  Evaluation run() {
    data::Progress progress("searching", static_cast<std::int64_t>(set_.queries.size()), "queries", options_.progress);
    const auto batch = static_cast<std::size_t>(options_.batch);
    for (std::size_t first = 0; first < set_.queries.size(); first += batch) {
      const std::size_t count = std::min(batch, set_.queries.size() - first);
      run_batch(first, count);
      progress.add(static_cast<std::int64_t>(count));
    }
    const auto n = static_cast<double>(std::max<std::size_t>(1, set_.queries.size()));
    out_.seconds.fingerprint /= n;
    out_.seconds.exact /= n;
    out_.seconds.lsh /= n;
    // Three rankings of each length and method.
    out_.seconds.rank /= n * 3 * static_cast<double>(options_.lengths_s.size()) * (options_.lsh ? 2 : 1);
    return std::move(out_);
  }

 private:
  void add_system(const std::string& name, bool separate_files) {
    const std::vector<std::vector<Answer>> empty(options_.lengths_s.size(), std::vector<Answer>(set_.queries.size()));
    out_.systems.push_back({name, empty, separate_files ? empty : std::vector<std::vector<Answer>>{}});
  }

  void run_batch(std::size_t first, std::size_t count) {
    const double begun = now_s();
    std::vector<QueryRows> queries(count);
    parallel_for(static_cast<std::int64_t>(count), [&](std::int64_t i) {
      const Query& query = set_.queries[first + static_cast<std::size_t>(i)];
      queries[static_cast<std::size_t>(i)] =
          fingerprint(query, set_.folder / query.path, fingerprinter_, hop_frames_, options_);
    });
    const double embedded = now_s();
    out_.seconds.fingerprint += embedded - begun;
    const Batch batch = join(queries);
    const Neighbours exact = rankers_.front().neighbours(batch.rows);
    const double searched = now_s();
    out_.seconds.exact += searched - embedded;
    rank_all(first, queries, batch, exact, 0);
    out_.seconds.rank += now_s() - searched;
    if (lsh_) {
      const double again = now_s();
      const Neighbours hashed = lsh_->neighbours(batch.rows);
      const double found = now_s();
      out_.seconds.lsh += found - again;
      rank_all(first, queries, batch, hashed, 2);
      out_.seconds.rank += now_s() - found;
    }
  }

  // Fills systems `system` (vote) and `system` + 1 (scored).
  void rank_all(std::size_t first, const std::vector<QueryRows>& queries, const Batch& batch,
                const Neighbours& neighbours, std::size_t system) {
    SystemAnswers& vote = out_.systems.at(system);
    SystemAnswers& scored = out_.systems.at(system + 1);
    parallel_for(static_cast<std::int64_t>(queries.size()), [&](std::int64_t i) {
      const auto q = static_cast<std::size_t>(i);
      for (std::size_t length = 0; length < queries[q].lengths.size(); ++length) {
        if (!queries[q].lengths[length]) {
          continue;
        }
        const auto [part, rows] = *queries[q].lengths[length];
        const std::int64_t begin = batch.first[q][static_cast<std::size_t>(part)];
        const Tensor fingerprints = batch.rows.slice(begin, begin + rows);
        const Neighbours near = rows_of(neighbours, begin, begin + rows);
        vote.places[length][first + q] = answer_of(rankers_[0].rank(fingerprints, near));
        vote.files[length][first + q] = answer_of(rankers_[1].rank(fingerprints, near));
        scored.places[length][first + q] = answer_of(rankers_[2].rank(fingerprints, near));
      }
    });
  }

  const QuerySet& set_;
  const nn::Fingerprinter& fingerprinter_;
  const EvaluationOptions& options_;
  int hop_frames_;
  std::vector<Matcher> rankers_;  // vote, vote of the whole track, scored
  std::optional<Matcher> lsh_;
  Evaluation out_;
};

}  // namespace

bool has_length(const Query& query, double length_s) {
  constexpr double kSlackS = 1e-3;
  return query.length_s <= 0 || query.length_s + kSlackS >= length_s;
}

Evaluation evaluate(const QuerySet& set, const nn::Fingerprinter& fingerprinter, const search::IndexStore& store,
                    const EvaluationOptions& options) {
  check(options.query_ratio >= 1 && fingerprinter.model().features.hop_frames % options.query_ratio == 0,
        "query ratio ", options.query_ratio, ": does not divide the hop of ", fingerprinter.model().features.hop_frames,
        " frames");
  check(nn::model_hash(fingerprinter.model()) == store.format().model_hash, store.folder().string(),
        ": was built with another model");
  check(store.database().rows() > 0, store.folder().string(), ": the index is empty");
  return Evaluator(set, fingerprinter, store, options).run();
}

}  // namespace earmark::experiments
