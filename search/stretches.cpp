#include "search/stretches.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "kernels/error.h"

namespace earmark::search {
namespace {

constexpr std::int64_t kWindowsKept = 3;
constexpr double kScoreSlack = 0.05;  // a continued alignment may score this much less than the best one

double mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Mean of the upper half: what a match looks like where a part of the values may lie outside of it.
double upper_mean(std::vector<double> values) {
  std::sort(values.begin(), values.end(), std::greater<>());
  values.resize(std::max<std::size_t>(1, values.size() / 2));
  return mean(values);
}

/// Where the longest run that ends at the last value and lies above `level` begins: the maximum of the suffix sums.
std::int64_t suffix_begin(const std::vector<double>& values, double level) {
  double sum = 0;
  double best = -1;
  auto at = static_cast<std::int64_t>(values.size()) - 1;
  for (std::int64_t i = at; i >= 0; --i) {
    sum += values[static_cast<std::size_t>(i)] - level;
    if (sum > best) {
      best = sum;
      at = i;
    }
  }
  return at;
}

}  // namespace

StretchFinder::StretchFinder(const Matcher& matcher, const StretchOptions& options, Report begun, Report ended)
    : matcher_(matcher), options_(options), begun_(std::move(begun)), ended_(std::move(ended)) {
  check(options.hop_seconds > 0 && options.window_s > 0 && options.step_s > 0 && options.patience >= 1,
        "stretches: hop, window, step and patience must be positive");
  const double inner = std::max(0.0, options.window_s - options.segment_seconds);
  window_rows_ = std::llround(std::floor(inner / options.hop_seconds + 1e-6)) + 1;
  step_rows_ = std::max<std::int64_t>(1, std::llround(options.step_s / options.hop_seconds));
}

void StretchFinder::push(const Tensor& fingerprints) {
  constexpr std::int64_t kChunk = 256;
  for (std::int64_t begin = 0; begin < fingerprints.dim(0); begin += kChunk) {
    const Tensor chunk = fingerprints.slice(begin, std::min(fingerprints.dim(0), begin + kChunk));
    const Neighbours found = matcher_.neighbours(chunk);
    const std::int64_t d = chunk.dim(1);
    const std::int64_t k = found.indices.dim(1);
    for (std::int64_t i = 0; i < chunk.dim(0); ++i) {
      const float* row = chunk.data<float>() + i * d;
      const std::int64_t* indices = found.indices.data<std::int64_t>() + i * k;
      const float* scores = found.scores.data<float>() + i * k;
      rows_.push_back({{row, row + d}, {indices, indices + k}, {scores, scores + k}});
      if (end_row() >= std::max(window_rows_, looked_until_ + step_rows_)) {
        look(end_row() - window_rows_, end_row());
      }
      while (static_cast<std::int64_t>(rows_.size()) > kWindowsKept * window_rows_) {
        rows_.pop_front();
        ++first_row_;
      }
    }
  }
}

void StretchFinder::finish() {
  if (end_row() > looked_until_) {
    look(std::max(first_row_, end_row() - window_rows_), end_row());
  }
  end_stretch();
}

/// Matches rows [begin, end).
void StretchFinder::look(std::int64_t begin, std::int64_t end) {
  looked_until_ = end;
  const std::int64_t n = end - begin;
  const Row& first = rows_[static_cast<std::size_t>(begin - first_row_)];
  const auto d = static_cast<std::int64_t>(first.fingerprint.size());
  const auto k = static_cast<std::int64_t>(first.indices.size());
  const Tensor window({n, d});
  const Neighbours found{Tensor({n, k}, DType::i64), Tensor({n, k})};
  for (std::int64_t i = 0; i < n; ++i) {
    const Row& row = rows_[static_cast<std::size_t>(begin + i - first_row_)];
    std::copy(row.fingerprint.begin(), row.fingerprint.end(), window.mutable_data<float>() + i * d);
    std::copy(row.indices.begin(), row.indices.end(), found.indices.mutable_data<std::int64_t>() + i * k);
    std::copy(row.scores.begin(), row.scores.end(), found.scores.mutable_data<float>() + i * k);
  }
  const std::vector<Match> matches = matcher_.rank(window, found);
  if (!matches.empty() && matches.front().matched) {
    follow(matches.front(), begin, end);
  } else if (open_ && ++missed_ >= options_.patience) {
    end_stretch();
  }
}

/// A window matched: it continues the open stretch, or begins another.
void StretchFinder::follow(const Match& best, std::int64_t begin, std::int64_t end) {
  if (open_ && still_fits(best, begin, end)) {
    last_seen_row_ = end;
    missed_ = 0;
    open_->score = std::max(open_->score, best.score);
    open_->confidence = std::max(open_->confidence, best.confidence);
    return;
  }
  end_stretch();
  begin_stretch(best, begin, end);
}

/// The same place goes on; or the best place is another one, but what the open one plays there is as good: a repeat.
bool StretchFinder::still_fits(const Match& best, std::int64_t begin, std::int64_t end) {
  const double alignment = best.start_s - time_of(begin);
  if (best.track_id == open_->track_id && std::abs(alignment - alignment_s_) <= options_.drift_s) {
    alignment_s_ = alignment;
    return true;
  }
  const auto similarity = [&](std::int64_t track, double at) { return mean(similarities(track, at, begin, end)); };
  return similarity(open_->track_id, alignment_s_) >= similarity(best.track_id, alignment) - kScoreSlack;
}

/// Opens a stretch, unless what is alike is shorter than one fingerprint.
void StretchFinder::begin_stretch(const Match& best, std::int64_t begin, std::int64_t end) {
  alignment_s_ = best.start_s - time_of(begin);
  last_seen_row_ = end;
  missed_ = 0;
  const std::int64_t from = std::max(first_row_, closed_until_row_);
  const std::vector<double> values = similarities(best.track_id, alignment_s_, from, end);
  const std::int64_t row = from + suffix_begin(values, middle_level(best.track_id, values, from, end));
  // A row crosses the middle level where half of the audio under it belongs to the stretch.
  const double inset = row == 0 ? 0 : options_.segment_seconds / 2;
  open_ = Stretch{best.track_id, best.track, time_of(row) + inset, 0, 0, 0, best.score, best.confidence};
  open_->track_begin_s = std::max(0.0, open_->query_begin_s + alignment_s_);
  open_->query_end_s = time_of(end - 1) + options_.segment_seconds;
  open_->track_end_s = open_->query_end_s + alignment_s_;
  if (open_->query_end_s - open_->query_begin_s < options_.segment_seconds) {
    open_.reset();  // less than one fingerprint of it is alike: chance, or the next window tells
    return;
  }
  if (begun_) {
    begun_(*open_);
  }
}

void StretchFinder::end_stretch() {
  if (!open_) {
    return;
  }
  std::vector<double> values = similarities(open_->track_id, alignment_s_, first_row_, end_row());
  const double level = middle_level(open_->track_id, values, first_row_, end_row());
  std::reverse(values.begin(), values.end());
  const std::int64_t last =
      std::max(std::min(last_seen_row_, end_row()) - window_rows_, end_row() - 1 - suffix_begin(values, level));
  const double inset = last + 1 == end_row() ? options_.segment_seconds : options_.segment_seconds / 2;
  open_->query_end_s = std::max(open_->query_begin_s + options_.segment_seconds, time_of(last) + inset);
  open_->track_end_s = open_->query_end_s + alignment_s_;
  closed_until_row_ = last + 1;
  if (ended_) {
    ended_(*open_);
  }
  open_.reset();
  missed_ = 0;
}

/// Between the similarity of a match, `values`, and that of the same rows with other places of the track.
double StretchFinder::middle_level(std::int64_t track, const std::vector<double>& values, std::int64_t begin,
                                   std::int64_t end) const {
  constexpr std::array<double, 6> kElsewhere = {-23, -13, -7, 7, 13, 23};  // seconds: music repeats in other steps
  std::vector<double> other;
  for (const double shift : kElsewhere) {
    for (const double value : similarities(track, alignment_s_ + shift, begin, end)) {
      if (value > -1) {
        other.push_back(value);
      }
    }
  }
  return 0.5 * (upper_mean(values) + mean(other));
}

/// Of rows [begin, end) with the track at this alignment.
std::vector<double> StretchFinder::similarities(std::int64_t track, double alignment, std::int64_t begin,
                                                std::int64_t end) const {
  const auto d = static_cast<std::int64_t>(rows_.front().fingerprint.size());
  const Tensor window({end - begin, d});
  for (std::int64_t i = 0; i < end - begin; ++i) {
    const Row& row = rows_[static_cast<std::size_t>(begin + i - first_row_)];
    std::copy(row.fingerprint.begin(), row.fingerprint.end(), window.mutable_data<float>() + i * d);
  }
  return matcher_.similarities(window, track, time_of(begin) + alignment);
}

std::vector<Stretch> find_stretches(const Matcher& matcher, const Tensor& fingerprints, const StretchOptions& options) {
  std::vector<Stretch> stretches;
  StretchFinder finder(matcher, options, {}, [&](const Stretch& stretch) { stretches.push_back(stretch); });
  finder.push(fingerprints);
  finder.finish();
  return stretches;
}

}  // namespace earmark::search
