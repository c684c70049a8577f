#include "search/matcher.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "kernels/error.h"
#include "search/candidates.h"

namespace earmark::search {
namespace {

constexpr double kVoteWindowSeconds = 0.1;
constexpr double kLeadWeight = 0.5;
constexpr float kUnscored = -std::numeric_limits<float>::infinity();

void check_options(const MatcherOptions& options) {
  check(options.neighbours >= 1, "neighbours: expected at least 1, got ", options.neighbours);
  check(options.top >= 1, "top: expected at least 1, got ", options.top);
  check(options.query_ratio >= 1, "query ratio: expected at least 1, got ", options.query_ratio);
  check(options.min_overlap > 0 && options.min_overlap <= 1, "minimum overlap: expected (0, 1], got ",
        options.min_overlap);
}

/// Position of the vertex of the parabola through (-1, before), (0, at), (1, after), within half a step.
double parabola_peak(double before, double at, double after) {
  const double curvature = before - 2 * at + after;
  if (!std::isfinite(curvature) || curvature >= 0) {
    return 0;
  }
  return std::clamp(0.5 * (before - after) / curvature, -0.5, 0.5);
}

/// The ranking of one query.
class Ranker {
 public:
  Ranker(const Database& database, const Tensor& queries, const Neighbours& neighbours, const MatcherOptions& options)
      : database_(database),
        queries_(queries),
        options_(options),
        min_rows_(std::max<std::int64_t>(
            1,
            std::llround(std::ceil(options.min_overlap * static_cast<double>(queries.dim(0)) / options.query_ratio)))),
        proposed_(proposals(database, neighbours, options.query_ratio)),
        scored_(with_neighbours(proposed_)) {
    score_candidates(database_, queries_, options_.query_ratio, min_rows_, scored_);
  }

  std::vector<Match> run() {
    std::vector<Candidate> best = options_.ranking == Ranking::scored ? best_by_score() : best_by_vote();
    best.resize(std::min(best.size(), static_cast<std::size_t>(options_.top)));
    std::vector<Match> matches;
    for (const Candidate& c : best) {
      matches.push_back(to_match(c));
      matches.back().confidence = confidence(c);
    }
    return matches;
  }

 private:
  /// The best candidate of every track, best first.
  std::vector<Candidate> best_by_score() const {
    std::vector<Candidate> best;
    for (const Candidate& c : scored_) {
      if (best.empty() || best.back().track != c.track) {
        best.push_back(c);
      } else if (c.score > best.back().score) {
        best.back() = c;
      }
    }
    std::erase_if(best, [](const Candidate& c) { return c.score == kUnscored; });
    std::stable_sort(best.begin(), best.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    return best;
  }

  std::vector<Candidate> best_by_vote() const {
    const auto key = [](const Candidate& c) { return std::tuple(-c.votes, -c.similarity); };
    std::vector<Candidate> best;
    std::map<std::size_t, std::pair<int, float>> hits;
    for (const Candidate& c : proposed_) {
      auto& [votes, similarity] = hits[c.track];
      votes += c.votes;
      similarity += c.similarity;
      if (best.empty() || best.back().track != c.track) {
        best.push_back(c);
      } else if (key(c) < key(best.back())) {
        best.back() = c;
      }
    }
    std::stable_sort(best.begin(), best.end(), [&](const Candidate& a, const Candidate& b) {
      if (options_.ranking == Ranking::vote_track && hits[a.track] != hits[b.track]) {
        return hits[a.track] > hits[b.track];
      }
      return key(a) < key(b);
    });
    return best;
  }

  /// Share of the query's rows that agree on the best place, plus half of how far its score leads over that of any
  /// other track, as a share of what it could lead. Agreement tells a present query from an absent one far better than
  /// the score does: noise lowers the score of a right answer below that of a wrong one for clean sound.
  double confidence(const Candidate& best) const {
    const std::vector<Candidate> tracks = best_by_score();
    double here = kUnscored;
    double other = kUnscored;
    for (const Candidate& c : tracks) {
      double& highest = c.track == best.track ? here : other;
      highest = std::max(highest, static_cast<double>(c.score));
    }
    const bool comparable = std::isfinite(here) && std::isfinite(other);
    const double lead = comparable ? std::max(0.0, here - other) / (1 - other + 1e-3) : 0;
    return agreement(best) + kLeadWeight * lead;
  }

  /// Most hits on one hop next to the candidate, as a share of the query's rows.
  double agreement(const Candidate& best) const {
    const std::int64_t ratio = options_.query_ratio;
    int most = 0;
    for (std::int64_t first = best.start - ratio; first <= best.start + 1; ++first) {
      int votes = 0;
      for (const Candidate& c : proposed_) {
        votes += c.track == best.track && c.start >= first && c.start < first + ratio ? c.votes : 0;
      }
      most = std::max(most, votes);
    }
    return static_cast<double>(most) / static_cast<double>(queries_.dim(0));
  }

  /// Mean of the votes within the window around the start, in fine hops.
  double vote_centroid(const Candidate& c) const {
    const auto window =
        static_cast<std::int64_t>(std::lround(kVoteWindowSeconds / options_.hop_seconds * options_.query_ratio));
    double sum = 0;
    double votes = 0;
    for (const Candidate& other : proposed_) {
      if (other.track == c.track && std::abs(other.start - c.start) <= window) {
        sum += static_cast<double>(other.votes) * static_cast<double>(other.start - c.start);
        votes += other.votes;
      }
    }
    return static_cast<double>(c.start) + sum / votes;
  }

  /// Climbs to the local maximum of the score, then fits a parabola; in fine hops. Updates the candidate's score.
  double score_peak(Candidate& c) const {
    constexpr int kSteps = 3;
    // Between the stored hops a single query row has nothing to be compared with.
    const std::int64_t stride = queries_.dim(0) >= 2 * options_.query_ratio ? 1 : options_.query_ratio;
    std::vector<Candidate> around;
    for (int step = 0; step <= kSteps; ++step) {
      around = {c, c, c};
      around[0].start -= stride;
      around[2].start += stride;
      score_candidates(database_, queries_, options_.query_ratio, min_rows_, around);
      const std::size_t best = around[0].score > around[1].score ? 0 : around[2].score > around[1].score ? 2 : 1;
      if (best == 1) {
        break;
      }
      c = around[best];
    }
    return static_cast<double>(c.start) +
           static_cast<double>(stride) * parabola_peak(around[0].score, around[1].score, around[2].score);
  }

  Match to_match(Candidate c) const {
    const bool scored = options_.ranking == Ranking::scored;
    const int votes = c.votes;
    double start = static_cast<double>(c.start);
    if (options_.refine) {
      start = scored ? score_peak(c) : vote_centroid(c);
    }
    const TrackRows& track = database_.tracks()[c.track];
    Match match;
    match.track_id = track.track_id;
    match.start_s = (start / options_.query_ratio - static_cast<double>(track.first)) * options_.hop_seconds;
    match.votes = votes;
    match.score = scored ? c.score : static_cast<double>(votes) / static_cast<double>(queries_.dim(0));
    return match;
  }

  const Database& database_;
  const Tensor& queries_;
  const MatcherOptions& options_;
  std::int64_t min_rows_;
  std::vector<Candidate> proposed_;
  std::vector<Candidate> scored_;
};

}  // namespace

Matcher::Matcher(const IndexStore& store, MatcherOptions options)
    : store_(&store), database_(&store.database()), options_(std::move(options)) {
  check_options(options_);
  options_.hop_seconds = store.format().hop_seconds();
  if (!options_.calibration) {
    options_.calibration = store.calibration();
  }
  if (options_.method == Method::lsh && database_->rows() > 0) {
    lsh_ = store.lsh(options_.lsh);
  }
}

Matcher::Matcher(const Database& database, MatcherOptions options)
    : database_(&database), options_(std::move(options)) {
  check_options(options_);
  if (options_.method == Method::lsh && database.rows() > 0) {
    lsh_ = LshIndex::build(database, options_.lsh);
  }
}

Neighbours Matcher::neighbours(const Tensor& fingerprints) const {
  return lsh_ ? lsh_->search(*database_, fingerprints, options_.neighbours)
              : exact_search(*database_, fingerprints, options_.neighbours);
}

Neighbours Matcher::neighbours_without(const Tensor& fingerprints, std::int64_t masked_track) const {
  const auto masked = std::find_if(database_->tracks().begin(), database_->tracks().end(),
                                   [&](const TrackRows& track) { return track.track_id == masked_track; });
  check(masked != database_->tracks().end(), "no track has the number ", masked_track);
  return exact_search_without(*database_, fingerprints, options_.neighbours, masked->first,
                              masked->first + masked->count);
}

std::vector<Match> Matcher::match(const Tensor& fingerprints) const {
  if (database_->rows() == 0 || fingerprints.dim(0) == 0) {
    return {};
  }
  return rank(fingerprints, neighbours(fingerprints));
}

std::vector<Match> Matcher::rank(const Tensor& fingerprints, const Neighbours& neighbours) const {
  std::vector<Match> matches = Ranker(*database_, fingerprints, neighbours, options_).run();
  const auto rows = static_cast<int>(fingerprints.dim(0)) / options_.query_ratio;
  const double threshold = options_.threshold
                               ? *options_.threshold
                               : options_.calibration.value_or(default_calibration()).threshold(std::max(1, rows));
  for (Match& match : matches) {
    if (store_ != nullptr) {
      match.track = store_->track(match.track_id).path;
    }
    match.matched = match.confidence > threshold;
  }
  return matches;
}

std::vector<double> Matcher::similarities(const Tensor& fingerprints, std::int64_t track_id, double start_s) const {
  const auto found = std::find_if(database_->tracks().begin(), database_->tracks().end(),
                                  [&](const TrackRows& track) { return track.track_id == track_id; });
  check(found != database_->tracks().end(), "no track has the number ", track_id);
  std::vector<double> products(static_cast<std::size_t>(fingerprints.dim(0)), -1);
  const Block& block = database_->blocks()[database_->block_of(found->first)];
  const Tensor row({1}, DType::i64);
  const Tensor product({1});
  for (std::int64_t i = 0; i < fingerprints.dim(0); ++i) {
    const std::int64_t at =
        std::llround(start_s / options_.hop_seconds + static_cast<double>(i) / options_.query_ratio);
    if (at >= 0 && at < found->count) {
      row.mutable_data<std::int64_t>()[0] = found->first + at - block.first;
      kernels::gathered_inner_product(
          {fingerprints.slice(i, i + 1).reshape({fingerprints.dim(1)}), block.stored, row, product});
      products[static_cast<std::size_t>(i)] = product.item();
    }
  }
  return products;
}

Method parse_method(std::string_view text) {
  check(text == "exact" || text == "lsh", "method: expected exact or lsh, got '", text, "'");
  return text == "lsh" ? Method::lsh : Method::exact;
}

Ranking parse_ranking(std::string_view text) {
  check(text == "vote" || text == "vote-track" || text == "scored",
        "ranking: expected scored, vote or vote-track, got '", text, "'");
  return text == "scored" ? Ranking::scored : text == "vote" ? Ranking::vote : Ranking::vote_track;
}

}  // namespace earmark::search
