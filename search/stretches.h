// Several matches in one recording: a window slides over the query's fingerprints, and windows in a row that name the
// same track at the same alignment are one stretch, with begin and end in both. The same code follows a live stream:
// fingerprints are pushed as they come, and memory does not grow.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/tensor.h"
#include "search/matcher.h"

namespace earmark::search {

struct Stretch {
  std::int64_t track_id = -1;
  std::string track;
  double query_begin_s = 0;
  double query_end_s = 0;
  double track_begin_s = 0;
  double track_end_s = 0;
  double score = 0;       // of its best window
  double confidence = 0;  // of its best window
};

struct StretchOptions {
  double hop_seconds = 0.1;       // between query fingerprints
  double segment_seconds = 0.96;  // audio under one fingerprint
  double window_s = 5;
  double step_s = 1;
  double drift_s = 0.25;  // how far the alignment may wander from window to window
  int patience = 3;       // windows without agreement before a stretch ends
};

class StretchFinder {
 public:
  using Report = std::function<void(const Stretch&)>;
  /// `begun` is called as soon as a stretch is recognised, `ended` when it is over; both may be empty.
  StretchFinder(const Matcher& matcher, const StretchOptions& options, Report begun, Report ended);

  /// More fingerprints (n, d) f32 of the query.
  void push(const Tensor& fingerprints);
  /// The query is over.
  void finish();

 private:
  struct Row {
    std::vector<float> fingerprint;
    std::vector<std::int64_t> indices;
    std::vector<float> scores;
  };

  void look(std::int64_t begin, std::int64_t end);
  void follow(const Match& best, std::int64_t begin, std::int64_t end);
  void begin_stretch(const Match& best, std::int64_t begin, std::int64_t end);
  void end_stretch();
  bool still_fits(const Match& best, std::int64_t begin, std::int64_t end);
  std::int64_t end_row() const { return first_row_ + static_cast<std::int64_t>(rows_.size()); }
  double time_of(std::int64_t row) const { return static_cast<double>(row) * options_.hop_seconds; }
  double middle_level(std::int64_t track, const std::vector<double>& values, std::int64_t begin,
                      std::int64_t end) const;
  std::vector<double> similarities(std::int64_t track, double alignment, std::int64_t begin, std::int64_t end) const;

  const Matcher& matcher_;
  StretchOptions options_;
  Report begun_;
  Report ended_;
  std::int64_t window_rows_;
  std::int64_t step_rows_;
  std::deque<Row> rows_;           // the last few windows
  std::int64_t first_row_ = 0;     // number of rows_.front()
  std::int64_t looked_until_ = 0;  // end of the last window
  std::optional<Stretch> open_;
  double alignment_s_ = 0;             // track time minus query time in the open stretch
  std::int64_t last_seen_row_ = 0;     // end of the last window that agreed with it
  std::int64_t closed_until_row_ = 0;  // a new stretch begins behind the one before
  int missed_ = 0;
};

/// All stretches of a recording, by their begin.
std::vector<Stretch> find_stretches(const Matcher& matcher, const Tensor& fingerprints, const StretchOptions& options);

}  // namespace earmark::search
