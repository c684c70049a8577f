#include "search/landmark_calibrate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <optional>
#include <set>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "search/landmark_matcher.h"

namespace earmark::search {
namespace {

constexpr std::array kLengthsS = {1.0, 2.0, 3.0, 5.0, 10.0};
constexpr std::size_t kLeastExcerpts = 20;
constexpr std::size_t kLeastTracks = 10;

int frames_in(double seconds) {
  return static_cast<int>(std::lround(seconds * LandmarkOptions::kSampleRate / kernels::LandmarkPeakOptions::kHop));
}

/// What a query of so many frames has of an excerpt: pairs of which both peaks are in them.
std::vector<Landmark> beginning_of(std::span<const Landmark> excerpt, int frames) {
  std::vector<Landmark> out;
  std::copy_if(excerpt.begin(), excerpt.end(), std::back_inserter(out),
               [&](const Landmark& landmark) { return landmark.frame + pair_of(landmark.hash).frames < frames; });
  return out;
}

/// A confidence has a limit; its distance to it has none on the scale of its logarithm, on which a tail can be guessed.
double unbounded(double confidence) { return -std::log(std::max(1e-9, 1 - confidence)); }
double bounded(double value) { return 1 - std::exp(-value); }

/// Confidences of wrong answers to the beginnings of an excerpt, of each length that it has; none where it tells
/// nothing.
using Wrong = std::array<std::optional<double>, kLengthsS.size()>;

Wrong wrong_answers(const LandmarkMatcher& matcher, std::span<const Landmark> excerpt, std::int64_t own_track) {
  constexpr double kSameSound = 0.5;
  constexpr double kFull = 0.8;  // of a length: landmarks end before the sound does
  Wrong out;
  for (std::size_t i = 0; i < kLengthsS.size(); ++i) {
    const int frames = frames_in(kLengthsS[i]);
    if (excerpt.empty() || excerpt.back().frame < kFull * frames) {
      break;
    }
    const LandmarkMatcher::LeftOut found = matcher.match_without(beginning_of(excerpt, frames), own_track);
    if (!found.best) {
      out[i] = 0;
    } else if (own_track < 0 || found.best->score < kSameSound * found.own_score) {
      out[i] = found.best->confidence;
    }
  }
  return out;
}

/// The least that no more than a share of `rate` exceeds. Many are 0, where nothing agrees: no tail follows from their
/// median, but one from the others.
double exceeded_by(std::vector<double> values, double rate) {
  constexpr double kMostGuessed = 0.25;
  // For half of what it is told. Subsets of 640 excerpts of music, four of each of 24 or 64 tracks, let 0.2 to 1.3 %
  // of all pass this way; for half the rate fewer right answers pass, and hardly any at 1 s.
  const double guessed = gumbel_threshold(values, std::min(kMostGuessed, 2 * rate));
  const auto allowed = static_cast<std::ptrdiff_t>(rate * static_cast<double>(values.size()));
  std::nth_element(values.begin(), values.begin() + allowed, values.end(), std::greater<>());
  return std::max(guessed, values[static_cast<std::size_t>(allowed)]);
}

Calibration from_wrong_answers(const std::vector<Wrong>& answers, double rate, const std::string& source) {
  Calibration out{{}, rate, source};
  for (std::size_t length = 0; length < kLengthsS.size(); ++length) {
    std::vector<double> values;
    for (const Wrong& answer : answers) {
      if (answer[length]) {
        values.push_back(unbounded(*answer[length]));
      }
    }
    if (values.size() >= kLeastExcerpts) {
      out.points.push_back({frames_in(kLengthsS[length]), bounded(exceeded_by(values, rate))});
    }
  }
  return out;
}

/// Above what 1 % of the excerpts of 64 tracks reached, each of which could only be wrong.
Calibration cautious_calibration(const LandmarkOptions& options, std::size_t tracks) {
  constexpr std::array kCautious = {0.7, 0.8, 0.85, 0.87, 0.92};
  constexpr std::array kOfLeastCount = {0.3, 0.5, 0.6, 0.7, 0.8};  // as audfprint is set, chance seldom answers at all
  const bool counted = options.min_count >= LandmarkOptions().min_count;
  Calibration out{{}, 0.01, str("default: excerpts of ", tracks, " tracks are too few to tell 1 %")};
  for (std::size_t i = 0; i < kLengthsS.size(); ++i) {
    out.points.push_back({frames_in(kLengthsS[i]), counted ? kOfLeastCount[i] : kCautious[i]});
  }
  return out;
}

}  // namespace

Calibration calibrate_landmarks(const IndexStore& store, std::span<const LandmarkExcerpt> excerpts,
                                const CalibrateOptions& options) {
  if (excerpts.empty()) {
    return {};
  }
  std::set<std::int64_t> tracks;
  for (const LandmarkExcerpt& excerpt : excerpts) {
    tracks.insert(excerpt.track_id);
  }
  if (tracks.size() < kLeastTracks || excerpts.size() < kLeastExcerpts) {
    return cautious_calibration(*store.format().landmarks, tracks.size());
  }
  const LandmarkMatcher matcher(store, {});
  std::vector<Wrong> answers(excerpts.size());
  parallel_for(static_cast<std::int64_t>(excerpts.size()), [&](std::int64_t i) {
    const LandmarkExcerpt& excerpt = excerpts[static_cast<std::size_t>(i)];
    answers[static_cast<std::size_t>(i)] = wrong_answers(matcher, excerpt.landmarks, excerpt.track_id);
  });
  const Calibration found = from_wrong_answers(answers, options.false_match_rate, "held-out tracks of the index");
  return found.points.empty() ? cautious_calibration(*store.format().landmarks, tracks.size()) : found;
}

Calibration calibrate_landmarks_on_absent(const IndexStore& store, std::span<const std::vector<Landmark>> absent,
                                          const CalibrateOptions& options) {
  check(!absent.empty(), "calibration: no sound to calibrate on");
  const LandmarkMatcher matcher(store, {});
  std::vector<Wrong> answers(absent.size());
  parallel_for(static_cast<std::int64_t>(absent.size()), [&](std::int64_t i) {
    answers[static_cast<std::size_t>(i)] = wrong_answers(matcher, absent[static_cast<std::size_t>(i)], -1);
  });
  return from_wrong_answers(answers, options.false_match_rate, "absent audio");
}

}  // namespace earmark::search
