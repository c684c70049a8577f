#include "search/landmark_stretches.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/error.h"

namespace earmark::search {
namespace {

constexpr double kShareToGoOn =
    0.7;  // of the best place's landmarks, where the open stretch goes on nevertheless: a repeat
constexpr double kRate = LandmarkOptions::kSampleRate;

}  // namespace

LandmarkStretchFinder::LandmarkStretchFinder(const LandmarkMatcher& matcher, const StretchOptions& options,
                                             Report begun, Report ended)
    : matcher_(matcher),
      options_(options),
      begun_(std::move(begun)),
      ended_(std::move(ended)),
      window_samples_(static_cast<std::size_t>(std::llround(options.window_s * kRate))),
      step_samples_(static_cast<std::size_t>(std::llround(options.step_s * kRate))) {
  check(window_samples_ > 0 && step_samples_ > 0 && options.patience >= 1,
        "stretches: window, step and patience must be positive");
}

void LandmarkStretchFinder::push(std::span<const float> pcm) {
  while (!pcm.empty()) {
    const std::size_t next = std::max(window_samples_, looked_until_ + step_samples_);  // end of the next window
    const std::size_t missing = next - (first_sample_ + buffer_.size());
    const std::size_t taken = std::min(missing, pcm.size());
    buffer_.insert(buffer_.end(), pcm.begin(), pcm.begin() + static_cast<std::ptrdiff_t>(taken));
    pcm = pcm.subspan(taken);
    if (taken == missing) {
      look();
    }
  }
}

void LandmarkStretchFinder::finish() {
  if (first_sample_ + buffer_.size() > looked_until_) {
    look();
  }
  end_stretch();
}

/// Matches the last window of the buffer, and forgets what lies before it.
void LandmarkStretchFinder::look() {
  const std::size_t forgotten = buffer_.size() - std::min(buffer_.size(), window_samples_);
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(forgotten));
  first_sample_ += forgotten;
  looked_until_ = first_sample_ + buffer_.size();
  const double begin_s = static_cast<double>(first_sample_) / kRate;
  const std::vector<Landmark> query = query_landmarks(buffer_, matcher_.options());
  const std::vector<Match> matches = matcher_.match(query);
  if (matches.empty() || !matches.front().matched) {
    if (open_ && ++missed_ >= options_.patience) {
      end_stretch();
    }
    return;
  }
  const Match& best = matches.front();
  if (!open_ || !still_fits(best, query, begin_s)) {
    end_stretch();
  }
  const std::int64_t track = open_ ? stretch_.track_id : best.track_id;
  const double start_s = open_ ? begin_s + alignment_s_ : best.start_s;
  follow(best, matcher_.support(query, track, start_s), begin_s);
}

/// The same place goes on; or the best place is another one, but nearly as many landmarks agree on the open one.
bool LandmarkStretchFinder::still_fits(const Match& best, std::span<const Landmark> query, double window_begin_s) {
  const double alignment = best.start_s - window_begin_s;
  if (best.track_id == stretch_.track_id && std::abs(alignment - alignment_s_) <= options_.drift_s) {
    alignment_s_ = alignment;
    return true;
  }
  return matcher_.support(query, stretch_.track_id, window_begin_s + alignment_s_).count >= kShareToGoOn * best.score;
}

/// Opens a stretch, or lets the open one reach to the last landmark that agrees.
void LandmarkStretchFinder::follow(const Match& best, const LandmarkMatcher::Support& support, double window_begin_s) {
  const double hop_s = matcher_.options().hop_seconds();
  const double from_s = std::max(closed_until_s_, window_begin_s + support.first_frame * hop_s);
  const double to_s = window_begin_s + support.last_frame * hop_s;
  missed_ = 0;
  if (open_) {
    stretch_.query_end_s = std::max(stretch_.query_end_s, to_s);
    stretch_.score = std::max(stretch_.score, static_cast<double>(support.count));
    stretch_.confidence = std::max(stretch_.confidence, best.track_id == stretch_.track_id ? best.confidence : 0);
    return;
  }
  if (support.count == 0 || to_s <= from_s) {
    return;
  }
  alignment_s_ = best.start_s - window_begin_s;
  stretch_ = {best.track_id,       best.track, from_s,         to_s, std::max(0.0, from_s + alignment_s_),
              to_s + alignment_s_, best.score, best.confidence};
  open_ = true;
  if (begun_) {
    begun_(stretch_);
  }
}

void LandmarkStretchFinder::end_stretch() {
  if (!open_) {
    return;
  }
  stretch_.track_end_s = stretch_.query_end_s + alignment_s_;
  closed_until_s_ = stretch_.query_end_s;
  if (ended_) {
    ended_(stretch_);
  }
  open_ = false;
  missed_ = 0;
}

std::vector<Stretch> find_landmark_stretches(const LandmarkMatcher& matcher, std::span<const float> pcm,
                                             const StretchOptions& options) {
  std::vector<Stretch> stretches;
  LandmarkStretchFinder finder(matcher, options, {}, [&](const Stretch& stretch) { stretches.push_back(stretch); });
  finder.push(pcm);
  finder.finish();
  return stretches;
}

}  // namespace earmark::search
