#include "search/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/error.h"
#include "kernels/score.h"
#include "kernels/trace.h"
#include "kernels/vote.h"

namespace earmark::search {
namespace {

bool is_before(const Candidate& a, const Candidate& b) {
  return a.track != b.track ? a.track < b.track : a.start < b.start;
}

/// (q, 2) i64.
Tensor bounds_of(std::span<const QueryRange> queries) {
  const Tensor bounds({static_cast<std::int64_t>(queries.size()), 2}, DType::i64);
  std::int64_t* to = bounds.mutable_data<std::int64_t>();
  for (const QueryRange& query : queries) {
    *to++ = query.begin;
    *to++ = query.end;
  }
  return bounds;
}

/// A candidate and the query it is one of.
struct Place {
  Candidate* candidate;
  QueryRange query;
};

/// Scores candidates that are all of one block, where its rows are.
void score_in_block(const Block& block, const Tensor& fingerprints, int ratio, const Database& database,
                    std::span<const Place> places) {
  const auto count = static_cast<std::int64_t>(places.size());
  const Device device = block.stored.rows.device();
  const auto numbers = [&](auto&& number) {
    const Tensor out({count}, DType::i64);
    std::transform(places.begin(), places.end(), out.mutable_data<std::int64_t>(), number);
    return out;
  };
  const auto track = [&](const Place& p) -> const TrackRows& { return database.tracks()[p.candidate->track]; };
  const kernels::SequenceScore args{
      .queries = fingerprints.to(device),
      .stored = block.stored,
      .query_begins = numbers([](const Place& p) { return p.query.begin; }),
      .query_ends = numbers([](const Place& p) { return p.query.end; }),
      .starts = numbers([&](const Place& p) { return p.candidate->start - block.first * ratio; }),
      .begins = numbers([&](const Place& p) { return track(p).first - block.first; }),
      .ends = numbers([&](const Place& p) { return track(p).first - block.first + track(p).count; }),
      .ratio = ratio,
      .scores = Tensor({count}, DType::f32, device)};
  kernels::sequence_score(args);
  const Tensor scores = args.scores.to(Device{});
  for (std::size_t c = 0; c < places.size(); ++c) {
    places[c].candidate->score = scores.data<float>()[c];
  }
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

/// Database rows of the track that the query's sequence would lie on.
std::int64_t overlap(const TrackRows& track, std::int64_t start, std::int64_t query_rows, int ratio) {
  return std::min(track.first + track.count, divide_up(start + query_rows, ratio)) -
         std::max(track.first, divide_up(start, ratio));
}

bool fits(const Place& place, const Database& database, int ratio, double min_overlap) {
  const TrackRows& track = database.tracks()[place.candidate->track];
  const std::int64_t rows = place.query.rows();
  const auto least =
      std::max<std::int64_t>(1, std::llround(std::ceil(min_overlap * static_cast<double>(rows) / ratio)));
  const std::int64_t wanted = std::min({least, track.count, std::max<std::int64_t>(1, rows / ratio)});
  return overlap(track, place.candidate->start, rows, ratio) >= wanted;
}

}  // namespace

std::vector<std::vector<Candidate>> proposals(const Database& database, const Neighbours& neighbours,
                                              std::span<const QueryRange> queries, int ratio) {
  const TraceRange range("vote");
  const Device device = database.device();
  const Tensor bounds = bounds_of(queries);
  const std::int64_t k = neighbours.indices.dim(1);
  const std::int64_t most = kernels::most_proposals(bounds, k);
  // Zeros, for what is copied back has gaps: behind each query's proposals.
  const kernels::OffsetVote args{.hits = neighbours.indices.to(device),
                                 .similarities = neighbours.scores.to(device),
                                 .queries = bounds,
                                 .track_rows = database.track_rows(),
                                 .ratio = ratio,
                                 .counts = Tensor({bounds.dim(0)}, DType::i64, device),
                                 .tracks = Tensor::zeros({most}, DType::i64, device),
                                 .starts = Tensor::zeros({most}, DType::i64, device),
                                 .votes = Tensor::zeros({most}, DType::i32, device),
                                 .sums = Tensor::zeros({most}, DType::f32, device)};
  kernels::offset_vote(args);
  const Tensor counts = args.counts.to(Device{});
  const Tensor tracks = args.tracks.to(Device{});
  const Tensor starts = args.starts.to(Device{});
  const Tensor votes = args.votes.to(Device{});
  const Tensor sums = args.sums.to(Device{});
  std::vector<std::vector<Candidate>> all(queries.size());
  std::int64_t first = 0;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::int64_t i = first; i < first + counts.data<std::int64_t>()[q]; ++i) {
      all[q].push_back({static_cast<std::size_t>(tracks.data<std::int64_t>()[i]), starts.data<std::int64_t>()[i],
                        votes.data<std::int32_t>()[i], sums.data<float>()[i], kUnscored});
    }
    first += queries[q].rows() * k;
  }
  return all;
}

std::vector<Candidate> with_neighbours(const std::vector<Candidate>& candidates, std::int64_t stride) {
  std::vector<Candidate> all;
  all.reserve(3 * candidates.size());
  for (const Candidate& c : candidates) {
    all.push_back(c);
    all.push_back({c.track, c.start - stride, 0, 0, kUnscored});
    all.push_back({c.track, c.start + stride, 0, 0, kUnscored});
  }
  // Of equal places the one with votes comes first and stays.
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return is_before(a, b) || (!is_before(b, a) && a.votes > b.votes);
  });
  const auto same = [](const Candidate& a, const Candidate& b) { return a.track == b.track && a.start == b.start; };
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  return all;
}

void score_candidates(const Database& database, const Tensor& fingerprints, std::span<const QueryRange> queries,
                      int ratio, double min_overlap, std::span<std::vector<Candidate>> candidates) {
  const TraceRange range("score sequences");
  check(queries.size() == candidates.size(), "candidates of ", candidates.size(), " queries, expected ",
        queries.size());
  std::vector<std::vector<Place>> places(database.blocks().size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (Candidate& c : candidates[q]) {
      const std::size_t block = database.block_of(database.tracks()[c.track].first);
      places[block].push_back({&c, queries[q]});
    }
  }
  for (std::size_t block = 0; block < places.size(); ++block) {
    if (!places[block].empty()) {
      score_in_block(database.blocks()[block], fingerprints, ratio, database, places[block]);
    }
    for (const Place& place : places[block]) {
      place.candidate->score = fits(place, database, ratio, min_overlap) ? place.candidate->score : kUnscored;
    }
  }
}

}  // namespace earmark::search
