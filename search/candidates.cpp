#include "search/candidates.h"

#include <algorithm>
#include <limits>

#include "kernels/score.h"
#include "kernels/vote.h"

namespace earmark::search {
namespace {

constexpr float kUnscored = -std::numeric_limits<float>::infinity();

bool is_before(const Candidate& a, const Candidate& b) {
  return a.track != b.track ? a.track < b.track : a.start < b.start;
}

/// Scores candidates [begin, end), all of one block.
void score_in_block(const Block& block, const Tensor& queries, int ratio, const Database& database,
                    std::vector<Candidate>::iterator begin, std::vector<Candidate>::iterator end) {
  const std::int64_t count = end - begin;
  kernels::SequenceScore args{queries,
                              block.stored,
                              Tensor({count}, DType::i64),
                              Tensor({count}, DType::i64),
                              Tensor({count}, DType::i64),
                              ratio,
                              1,
                              Tensor({count})};
  for (std::int64_t c = 0; c < count; ++c) {
    const TrackRows& track = database.tracks()[begin[c].track];
    args.starts.mutable_data<std::int64_t>()[c] = begin[c].start - block.first * ratio;
    args.begins.mutable_data<std::int64_t>()[c] = track.first - block.first;
    args.ends.mutable_data<std::int64_t>()[c] = track.first - block.first + track.count;
  }
  kernels::sequence_score(args);
  for (std::int64_t c = 0; c < count; ++c) {
    begin[c].score = args.scores.data<float>()[c];
  }
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

/// Database rows of the track that the query's sequence would lie on.
std::int64_t overlap(const TrackRows& track, std::int64_t start, std::int64_t query_rows, int ratio) {
  return std::min(track.first + track.count, divide_up(start + query_rows, ratio)) -
         std::max(track.first, divide_up(start, ratio));
}

}  // namespace

std::vector<Candidate> proposals(const Database& database, const Neighbours& neighbours, int ratio) {
  const std::int64_t hits = neighbours.indices.numel();
  const kernels::OffsetVote args{
      neighbours.indices,         neighbours.scores,          database.track_rows(),      ratio,
      Tensor({hits}, DType::i64), Tensor({hits}, DType::i64), Tensor({hits}, DType::i32), Tensor({hits})};
  std::vector<Candidate> candidates(static_cast<std::size_t>(kernels::offset_vote(args)));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    candidates[i] = {static_cast<std::size_t>(args.tracks.data<std::int64_t>()[i]), args.starts.data<std::int64_t>()[i],
                     args.votes.data<std::int32_t>()[i], args.sums.data<float>()[i], kUnscored};
  }
  return candidates;
}

std::vector<Candidate> with_neighbours(const std::vector<Candidate>& candidates) {
  std::vector<Candidate> all;
  all.reserve(3 * candidates.size());
  for (const Candidate& c : candidates) {
    all.push_back(c);
    all.push_back({c.track, c.start - 1, 0, 0, kUnscored});
    all.push_back({c.track, c.start + 1, 0, 0, kUnscored});
  }
  // Of equal places the one with votes comes first and stays.
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return is_before(a, b) || (!is_before(b, a) && a.votes > b.votes);
  });
  const auto same = [](const Candidate& a, const Candidate& b) { return a.track == b.track && a.start == b.start; };
  all.erase(std::unique(all.begin(), all.end(), same), all.end());
  return all;
}

void score_candidates(const Database& database, const Tensor& queries, int ratio, std::int64_t min_rows,
                      std::vector<Candidate>& candidates) {
  const std::int64_t m = queries.dim(0);
  const auto fits = [&](const Candidate& c) {
    const TrackRows& track = database.tracks()[c.track];
    const std::int64_t wanted = std::min({min_rows, track.count, std::max<std::int64_t>(1, m / ratio)});
    return overlap(track, c.start, m, ratio) >= wanted;
  };
  for (auto begin = candidates.begin(); begin != candidates.end();) {
    const std::size_t block = database.block_of(database.tracks()[begin->track].first);
    const auto end = std::find_if(begin, candidates.end(), [&](const Candidate& c) {
      return database.block_of(database.tracks()[c.track].first) != block;
    });
    score_in_block(database.blocks()[block], queries, ratio, database, begin, end);
    begin = end;
  }
  for (Candidate& c : candidates) {
    c.score = fits(c) ? c.score : kUnscored;
  }
}

}  // namespace earmark::search
