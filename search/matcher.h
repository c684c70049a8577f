// From a query's fingerprints to a track and a place in it. Every query row finds its nearest stored rows (exact.h or
// lsh.h); hits agree on where the query starts (method.md 6); three rankings:
//   vote    the start with most agreement; ties: higher summed similarity, then lower index;
//           time refined by the centroid of the votes within 0.1 s of the start
//   scored  every proposed start and its neighbours, ranked by the mean inner product of the whole sequences, as high
//           as a parabola through it and those beside it rises between the hops; time refined by that around the best
//   sequence  every proposed start and nothing else, ranked in the same way, taken as it is (Chang et al., ICASSP 2021)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/tensor.h"
#include "search/calibration.h"
#include "search/candidates.h"
#include "search/database.h"
#include "search/exact.h"
#include "search/index_store.h"
#include "search/lsh.h"

namespace earmark::search {

enum class Method { exact, lsh };
/// How hits become an answer; vote_track is the paper's audio-level vote: the track with most hits, then its best
/// start.
enum class Ranking { vote, vote_track, scored, sequence };
/// Whether answers are ranked by the mean inner product of whole sequences.
inline bool ranks_by_score(Ranking ranking) { return ranking == Ranking::scored || ranking == Ranking::sequence; }
/// Neighbours of each query row where nothing else is asked for: 20 for `sequence`, as its authors have it, else 5.
inline int default_neighbours(Ranking ranking) { return ranking == Ranking::sequence ? 20 : 5; }

struct MatcherOptions {
  Method method = Method::exact;
  Ranking ranking = Ranking::scored;
  int neighbours = 5;                      // stored rows per query row
  int top = 1;                             // matches returned; at most one per track
  bool refine = true;                      // sub-hop timestamps (not of `sequence`)
  int query_ratio = 1;                     // query rows per database hop: 2 = a query hop half as long
  double hop_seconds = 0.1;                // of the database; taken from the index where there is one
  double min_overlap = 0.5;                // share of the query that must lie inside the track (by score)
  std::optional<double> threshold;         // on the confidence; else the calibration's
  std::optional<Calibration> calibration;  // taken from the index where there is one
  std::int64_t masked_track = -1;          // track id that no answer may come from: leave-one-out calibration
  LshOptions lsh;
  /// Finds neighbours instead of this process by itself (SharedSearch); called from several threads.
  std::function<Neighbours(const Tensor& fingerprints)> search{};
};

struct Match {
  std::int64_t track_id = -1;
  std::string track;      // path relative to the folder that was indexed; empty for a Database without a catalogue
  double start_s = 0;     // where in the track the query's first sample lies; negative where the query began earlier
  double score = 0;       // scored: mean inner product, at its peak between the hops unless times are not refined;
                          // sequence: on the hop; vote: share of query rows that agree
  double confidence = 0;  // agreement of the query's rows and lead over other tracks; compared with the threshold
  bool matched = false;
  int votes = 0;  // hits that agree with the start
};

class Matcher {
 public:
  /// The store, and the database, must outlive the matcher. LSH tables come from the store's cache or are built here.
  explicit Matcher(const IndexStore& store, MatcherOptions options = {});
  explicit Matcher(const Database& database, MatcherOptions options = {});

  /// Matches of one query, best first; empty where the database is. Fingerprints (n, d) f32 unit rows, one per query
  /// hop. All is done on the database's device. Safe to call from several threads.
  std::vector<Match> match(const Tensor& fingerprints) const;
  /// Those of many queries, which are parts of the fingerprints: one pass over the database for all of them.
  std::vector<std::vector<Match>> match(const Tensor& fingerprints, std::span<const QueryRange> queries) const;
  /// The same from neighbours already found (several rankings of one search).
  std::vector<Match> rank(const Tensor& fingerprints, const Neighbours& neighbours) const;
  std::vector<std::vector<Match>> rank(const Tensor& fingerprints, const Neighbours& neighbours,
                                       std::span<const QueryRange> queries) const;
  Neighbours neighbours(const Tensor& fingerprints) const;
  /// The same, exact, as if track `masked_track` were not in the database: what leave-one-out calibration needs.
  Neighbours neighbours_without(const Tensor& fingerprints, std::int64_t masked_track) const;
  /// Inner product of each query row with the row of the track that lies nearest in time, where row 0 of the query is
  /// aligned to `start_s` of the track; -1 outside the track.
  std::vector<double> similarities(const Tensor& fingerprints, std::int64_t track_id, double start_s) const;
  const MatcherOptions& options() const { return options_; }

 private:
  /// Confidence above which a query of so many rows matches.
  double threshold(std::int64_t query_rows) const;

  const IndexStore* store_ = nullptr;
  const Database* database_;
  MatcherOptions options_;
  std::optional<LshIndex> lsh_;
};

Method parse_method(std::string_view text);  ///< "exact", "lsh"; throws Error on anything else.
/// "vote", "vote-track", "scored", "sequence"; throws Error on anything else.
Ranking parse_ranking(std::string_view text);

}  // namespace earmark::search
