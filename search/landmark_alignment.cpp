#include "search/landmark_alignment.h"

#include <algorithm>
#include <limits>

namespace earmark::search {
namespace {

constexpr std::size_t kAlignmentsPerTrack = 101;  // audfprint stops looking after so many

struct FoundTrack {
  std::uint32_t track = 0;
  int hits = 0;
  double share = 0;  // of the track's landmarks
  std::vector<int> skews = {};
};

/// Tracks to look into, in order: as many as have more hits than `min_count`, but those of the largest shares.
std::vector<FoundTrack> promising(const LandmarkTable& table, const LandmarkOptions& options,
                                  const std::vector<int>& hits) {
  std::vector<FoundTrack> found;
  std::size_t enough = 0;
  for (std::uint32_t track = 0; track < hits.size(); ++track) {
    if (hits[track] > 0) {
      found.push_back({track, hits[track],
                       static_cast<double>(hits[track]) / static_cast<double>(table.landmarks_per_track()[track])});
      enough += hits[track] > options.min_count ? 1 : 0;
    }
  }
  const std::size_t kept = std::min({enough, static_cast<std::size_t>(options.search_depth), found.size()});
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(kept), found.end(),
                    [](const FoundTrack& a, const FoundTrack& b) {
                      return a.share != b.share ? a.share > b.share : a.track > b.track;
                    });
  found.resize(kept);
  return found;
}

/// The histogram of one track's skews, kept between tracks so that its memory is.
class SkewHistogram {
 public:
  explicit SkewHistogram(const LandmarkOptions& options) : options_(options) {}

  void align(const FoundTrack& found, std::vector<LandmarkAlignment>& out) {
    if (found.skews.empty()) {
      return;
    }
    const auto [low, high] = std::minmax_element(found.skews.begin(), found.skews.end());
    const int lowest = *low;
    counts_.assign(static_cast<std::size_t>(*high - lowest) + 1, 0);
    for (const int skew : found.skews) {
      ++counts_[static_cast<std::size_t>(skew - lowest)];
    }
    find_modes();
    std::vector<int> taken;
    for (const int mode : modes_) {
      const auto is_near = [&](int other) { return std::abs(other - mode) <= options_.window; };
      if (std::any_of(taken.begin(), taken.end(), is_near)) {
        continue;
      }
      out.push_back({found.track, count_around(mode), mode + lowest, found.hits});
      taken.push_back(mode);
      if (taken.size() == kAlignmentsPerTrack) {
        return;
      }
    }
  }

 private:
  int at(int skew) const {
    return skew < 0 || skew >= static_cast<int>(counts_.size()) ? 0 : counts_[static_cast<std::size_t>(skew)];
  }
  int count_around(int mode) const {
    int sum = 0;
    for (int skew = mode - options_.window; skew <= mode + options_.window; ++skew) {
      sum += at(skew);
    }
    return sum;
  }
  /// Local maxima with more hits than the least count, most first; of equal neighbours the last, of equals elsewhere
  /// the first.
  void find_modes() {
    modes_.clear();
    for (int skew = 0; skew < static_cast<int>(counts_.size()); ++skew) {
      if (at(skew) > options_.min_count && at(skew) >= at(skew - 1) && at(skew + 1) < at(skew)) {
        modes_.push_back(skew);
      }
    }
    std::stable_sort(modes_.begin(), modes_.end(), [&](int a, int b) { return at(a) > at(b); });
  }

  const LandmarkOptions& options_;
  std::vector<int> counts_;
  std::vector<int> modes_;
};

}  // namespace

std::vector<LandmarkAlignment> align_landmarks(const LandmarkTable& table, const LandmarkOptions& options,
                                               std::span<const Landmark> query) {
  std::vector<int> hits(table.landmarks_per_track().size(), 0);
  for (const Landmark& landmark : query) {
    for (const std::uint32_t place : table.places(landmark.hash)) {
      ++hits[table.track_of(place)];
    }
  }
  std::vector<FoundTrack> found = promising(table, options, hits);
  std::vector<std::vector<int>*> skews(hits.size(), nullptr);
  for (FoundTrack& track : found) {
    track.skews.reserve(static_cast<std::size_t>(track.hits));
    skews[track.track] = &track.skews;
  }
  for (const Landmark& landmark : query) {
    for (const std::uint32_t place : table.places(landmark.hash)) {
      if (std::vector<int>* of_track = skews[table.track_of(place)]) {
        of_track->push_back(static_cast<int>(table.frame_of(place)) - landmark.frame);
      }
    }
  }
  std::vector<LandmarkAlignment> out;
  SkewHistogram histogram(options);
  for (const FoundTrack& track : found) {
    histogram.align(track, out);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const LandmarkAlignment& a, const LandmarkAlignment& b) { return a.count > b.count; });
  return out;
}

}  // namespace earmark::search
