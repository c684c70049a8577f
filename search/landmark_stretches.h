// Several matches in one recording, by landmarks: a window moves over it, each is analysed and matched for itself, and
// windows in a row that name the same track at the same alignment are one stretch, from the first landmark that agrees
// to the last. The same for a live stream, whose memory does not grow.
#pragma once

#include <span>
#include <vector>

#include "search/landmark_matcher.h"
#include "search/stretches.h"

namespace earmark::search {

class LandmarkStretchFinder {
 public:
  using Report = StretchFinder::Report;
  /// `begun` is called as soon as a stretch is recognised, `ended` when it is over; both may be empty.
  LandmarkStretchFinder(const LandmarkMatcher& matcher, const StretchOptions& options, Report begun, Report ended);

  /// More samples of the recording.
  void push(std::span<const float> pcm);
  /// The recording is over.
  void finish();

 private:
  void look();
  void follow(const Match& best, const LandmarkMatcher::Support& support, double window_begin_s);
  bool still_fits(const Match& best, std::span<const Landmark> query, double window_begin_s);
  void end_stretch();

  const LandmarkMatcher& matcher_;
  StretchOptions options_;
  Report begun_;
  Report ended_;
  std::size_t window_samples_;
  std::size_t step_samples_;
  std::vector<float> buffer_;     // a window, and what came behind it
  std::size_t first_sample_ = 0;  // of the buffer, in the recording
  std::size_t looked_until_ = 0;  // end of the last window, in the recording
  bool open_ = false;
  Stretch stretch_{};          // the open one
  double alignment_s_ = 0;     // track time minus recording time in the open stretch
  double closed_until_s_ = 0;  // a new stretch begins behind the one before
  int missed_ = 0;
};

/// All stretches of a recording, by their begin.
std::vector<Stretch> find_landmark_stretches(const LandmarkMatcher& matcher, std::span<const float> pcm,
                                             const StretchOptions& options);

}  // namespace earmark::search
