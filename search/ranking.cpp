#include "search/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/trace.h"

namespace earmark::search {
namespace {

constexpr double kVoteWindowSeconds = 0.1;
constexpr double kLeadWeight = 0.5;
constexpr int kClimbs = 4;  // hops that the refined place may be away from the proposed one

/// Where a parabola is highest, within half a step, and how high.
struct Peak {
  double position;
  double height;
};

/// Of the parabola through (-1, before), (0, at), (1, after); (0, at) where it has no peak.
Peak parabola_peak(double before, double at, double after) {
  const double curvature = before - 2 * at + after;
  if (!std::isfinite(curvature) || curvature >= 0) {
    return {0, at};
  }
  const double slope = (after - before) / 2;
  const double position = std::clamp(-slope / curvature, -0.5, 0.5);
  return {position, at + slope * position + curvature * position * position / 2};
}

/// Puts in the place of each score how high the scores are between it and its neighbours, `stride` apart. A query that
/// lies half a hop beside the fingerprints of its own place scores no higher with these than with a place that merely
/// sounds alike and happens to lie on a hop. `scored` is in order.
void raise_to_peaks(std::vector<Candidate>& scored, std::int64_t stride) {
  std::vector<float> heights;
  for (std::size_t i = 0; i < scored.size(); ++i) {
    const Candidate& c = scored[i];
    const auto score_at = [&](std::size_t j, std::int64_t start) {
      return j < scored.size() && scored[j].track == c.track && scored[j].start == start ? scored[j].score : kUnscored;
    };
    const Peak peak = parabola_peak(score_at(i - 1, c.start - stride), c.score, score_at(i + 1, c.start + stride));
    heights.push_back(static_cast<float>(std::min(peak.height, 1.0)));
  }
  for (std::size_t i = 0; i < scored.size(); ++i) {
    scored[i].score = heights[i];
  }
}

/// The best candidate of every track, best first.
std::vector<Candidate> best_by_score(const std::vector<Candidate>& scored) {
  std::vector<Candidate> best;
  for (const Candidate& c : scored) {
    if (best.empty() || best.back().track != c.track) {
      best.push_back(c);
    } else if (c.score > best.back().score) {
      best.back() = c;
    }
  }
  std::erase_if(best, [](const Candidate& c) { return c.score == kUnscored; });
  std::stable_sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return best;
}

std::vector<Candidate> best_by_vote(const std::vector<Candidate>& proposed, bool by_track) {
  const auto key = [](const Candidate& c) { return std::tuple(-c.votes, -c.similarity); };
  std::vector<Candidate> best;
  std::map<std::size_t, std::pair<int, float>> hits;
  for (const Candidate& c : proposed) {
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
    if (by_track && hits[a.track] != hits[b.track]) {
      return hits[a.track] > hits[b.track];
    }
    return key(a) < key(b);
  });
  return best;
}

/// One query: what it proposed, and the best of it.
struct Ranked {
  QueryRange query;
  std::vector<Candidate> proposed;
  std::vector<Candidate> scored;
  std::vector<Candidate> tracks;  // the best candidate of each, by score
  std::vector<Candidate> best;    // by the ranking asked for
};

/// Share of the query's rows that agree on the best place: most hits on one hop next to it.
double agreement(const Ranked& of, const Candidate& best, std::int64_t ratio) {
  int most = 0;
  for (std::int64_t first = best.start - ratio; first <= best.start + 1; ++first) {
    int votes = 0;
    for (const Candidate& c : of.proposed) {
      votes += c.track == best.track && c.start >= first && c.start < first + ratio ? c.votes : 0;
    }
    most = std::max(most, votes);
  }
  return static_cast<double>(most) / static_cast<double>(of.query.rows());
}

/// Share of the query's rows that agree on the best place, plus half of how far its score leads over that of any
/// other track, as a share of what it could lead. Agreement tells a present query from an absent one far better than
/// the score does: noise lowers the score of a right answer below that of a wrong one for clean sound.
double confidence(const Ranked& of, const Candidate& best, std::int64_t ratio) {
  double here = kUnscored;
  double other = kUnscored;
  for (const Candidate& c : of.tracks) {
    double& highest = c.track == best.track ? here : other;
    highest = std::max(highest, static_cast<double>(c.score));
  }
  const bool comparable = std::isfinite(here) && std::isfinite(other);
  const double lead = comparable ? std::max(0.0, here - other) / (1 - other + 1e-3) : 0;
  return agreement(of, best, ratio) + kLeadWeight * lead;
}

/// Mean of the votes within the window around the start, in fine hops.
double vote_centroid(const Ranked& of, const Candidate& c, const MatcherOptions& options) {
  const auto window =
      static_cast<std::int64_t>(std::lround(kVoteWindowSeconds / options.hop_seconds * options.query_ratio));
  double sum = 0;
  double votes = 0;
  for (const Candidate& other : of.proposed) {
    if (other.track == c.track && std::abs(other.start - c.start) <= window) {
      sum += static_cast<double>(other.votes) * static_cast<double>(other.start - c.start);
      votes += other.votes;
    }
  }
  return static_cast<double>(c.start) + sum / votes;
}

/// Between the stored hops a single query row has nothing to be compared with.
std::int64_t climbing_stride(const QueryRange& query, int ratio) { return query.rows() >= 2 * ratio ? 1 : ratio; }

/// The places up to kClimbs strides before and behind each of `best`.
std::vector<Candidate> surroundings(const Ranked& of, int ratio) {
  const std::int64_t stride = climbing_stride(of.query, ratio);
  std::vector<Candidate> around;
  for (const Candidate& c : of.best) {
    for (std::int64_t step = -kClimbs; step <= kClimbs; ++step) {
      around.push_back({c.track, c.start + step * stride, 0, 0, kUnscored});
    }
  }
  return around;
}

/// Climbs from the middle of `around` to the local maximum of the score, then fits a parabola; in fine hops. Updates
/// the candidate's score.
double score_peak(std::span<const Candidate> around, std::int64_t stride, Candidate& c) {
  std::size_t at = kClimbs;
  std::size_t top = at;
  for (int climb = 0; climb < kClimbs; ++climb) {
    at = top;
    const float before = around[at - 1].score;
    const float here = around[at].score;
    const float after = around[at + 1].score;
    top = before > here ? at - 1 : after > here ? at + 1 : at;
    if (top == at) {
      break;
    }
  }
  const Peak peak = parabola_peak(around[at - 1].score, around[at].score, around[at + 1].score);
  c.score = std::max(around[top].score, static_cast<float>(std::min(peak.height, 1.0)));
  return static_cast<double>(around[top].start) + static_cast<double>(stride) * peak.position;
}

/// `around`: the scored surroundings, where the place is refined by score.
std::vector<Match> matches_of(const Ranked& of, const Database& database, std::span<const Candidate> around,
                              const MatcherOptions& options) {
  constexpr std::size_t kAround = 2 * kClimbs + 1;
  const bool scored = ranks_by_score(options.ranking);
  std::vector<Match> matches;
  for (std::size_t i = 0; i < of.best.size(); ++i) {
    Candidate c = of.best[i];
    double start = static_cast<double>(c.start);
    if (options.refine && options.ranking != Ranking::sequence) {
      start = scored
                  ? score_peak(around.subspan(i * kAround, kAround), climbing_stride(of.query, options.query_ratio), c)
                  : vote_centroid(of, c, options);
    }
    const TrackRows& track = database.tracks()[c.track];
    Match match;
    match.track_id = track.track_id;
    match.start_s = (start / options.query_ratio - static_cast<double>(track.first)) * options.hop_seconds;
    match.votes = c.votes;
    match.score = scored ? c.score : static_cast<double>(c.votes) / static_cast<double>(of.query.rows());
    match.confidence = confidence(of, of.best[i], options.query_ratio);
    matches.push_back(std::move(match));
  }
  return matches;
}

}  // namespace

std::vector<std::vector<Match>> rank_queries(const Database& database, const Tensor& fingerprints,
                                             const Neighbours& neighbours, std::span<const QueryRange> queries,
                                             const MatcherOptions& options) {
  const TraceRange range("rank");
  const auto count = static_cast<std::int64_t>(queries.size());
  const Tensor there = fingerprints.to(database.device());
  const auto score = [&](std::vector<std::vector<Candidate>>& candidates) {
    score_candidates(database, there, queries, options.query_ratio, options.min_overlap, candidates);
  };
  std::vector<std::vector<Candidate>> proposed = proposals(database, neighbours, queries, options.query_ratio);
  std::vector<std::vector<Candidate>> scored(queries.size());
  parallel_for(count, [&](std::int64_t i) {
    const auto q = static_cast<std::size_t>(i);
    const std::int64_t stride = climbing_stride(queries[q], options.query_ratio);
    scored[q] = options.ranking == Ranking::sequence ? proposed[q] : with_neighbours(proposed[q], stride);
  });
  score(scored);
  std::vector<Ranked> ranked(queries.size());
  std::vector<std::vector<Candidate>> around(queries.size());
  const bool climbs = options.refine && options.ranking == Ranking::scored;
  parallel_for(count, [&](std::int64_t i) {
    const auto q = static_cast<std::size_t>(i);
    Ranked& of = ranked[q];
    if (climbs) {
      raise_to_peaks(scored[q], climbing_stride(queries[q], options.query_ratio));
    }
    of = {queries[q], std::move(proposed[q]), std::move(scored[q]), {}, {}};
    of.tracks = best_by_score(of.scored);
    of.best =
        ranks_by_score(options.ranking) ? of.tracks : best_by_vote(of.proposed, options.ranking == Ranking::vote_track);
    of.best.resize(std::min(of.best.size(), static_cast<std::size_t>(options.top)));
    around[q] = climbs ? surroundings(of, options.query_ratio) : std::vector<Candidate>();
  });
  score(around);
  std::vector<std::vector<Match>> matches(queries.size());
  parallel_for(count, [&](std::int64_t i) {
    const auto q = static_cast<std::size_t>(i);
    matches[q] = matches_of(ranked[q], database, around[q], options);
  });
  return matches;
}

}  // namespace earmark::search
