#include "search/landmark_matcher.h"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>

#include "kernels/error.h"
#include "search/landmark_rows.h"

namespace earmark::search {
namespace {

constexpr double kChance = 5;  // landmarks that may agree in any track: audfprint's default of a least count

LandmarkTable table_of(const IndexStore& store) {
  std::vector<std::span<const Landmark>> tracks;
  for (const TrackRows& track : store.database().tracks()) {
    tracks.push_back(landmarks_in(store.database().stored_rows(track)));
  }
  return {*store.format().landmarks, tracks};
}

bool by_hash(const Landmark& a, const Landmark& b) { return a.hash < b.hash; }

/// How far a place's frame is from where the skew puts it, both modulo `period`: the least of all, signed.
std::int64_t off_by(std::int64_t frame, std::int64_t wanted, std::int64_t period) {
  const std::int64_t ahead = ((frame - wanted) % period + period) % period;
  return ahead < period / 2 ? ahead : ahead - period;
}

}  // namespace

LandmarkMatcher::LandmarkMatcher(const IndexStore& store, const MatcherOptions& options)
    : store_(store),
      options_(store.format().landmarks.value()),
      top_(options.top),
      threshold_(options.threshold),
      calibration_(options.calibration ? options.calibration : store.calibration()),
      table_(table_of(store)) {
  check(top_ >= 1, "top: expected at least 1, got ", top_);
}

/// The best alignment of each track, those of the highest count first.
std::vector<LandmarkAlignment> LandmarkMatcher::best_of_tracks(std::span<const Landmark> query,
                                                               std::size_t most) const {
  std::vector<LandmarkAlignment> best;
  std::vector<bool> seen(store_.tracks().size(), false);
  for (const LandmarkAlignment& found : align_landmarks(table_, options_, query)) {
    if (!seen[found.track]) {
      seen[found.track] = true;
      best.push_back(found);
    }
    if (best.size() == most) {
      break;
    }
  }
  return best;
}

double LandmarkMatcher::threshold(std::span<const Landmark> query) const {
  if (threshold_) {
    return *threshold_;
  }
  const int frames = query.empty() ? 1 : query.back().frame + 1;
  return calibration_ ? calibration_->threshold(frames) : landmark_threshold(options_, frames);
}

/// Frames of the query in which landmarks agree with an alignment, over what chance does to the number of those that
/// agree with another track: its root. One sound that two tracks share has many landmarks, but few frames.
double LandmarkMatcher::confidence(std::span<const Landmark> query, const LandmarkAlignment& found, int other) const {
  const std::vector<std::int32_t> frames = frames_of(query, found.track, found.skew);
  const auto distinct = std::count_if(frames.begin(), frames.end(), [&](const std::int32_t& frame) {
    return &frame == frames.data() || (&frame)[-1] != frame;
  });
  const double chance = std::sqrt(std::max<double>(other, kChance));
  return distinct == 0 || found.count <= other ? 0 : std::max(0.0, 1 - chance / static_cast<double>(distinct));
}

Match LandmarkMatcher::match_of(std::span<const Landmark> query, const LandmarkAlignment& found,
                                double confidence) const {
  const Track& track = store_.tracks()[found.track];
  Match match;
  match.track_id = track.id;
  match.track = track.path;
  match.start_s = static_cast<double>(unwrapped(query, found.track, found.skew)) * options_.hop_seconds();
  match.score = found.count;
  match.votes = found.count;
  match.confidence = confidence;
  match.matched = confidence > threshold(query);
  return match;
}

std::vector<Match> LandmarkMatcher::match(std::span<const Landmark> query) const {
  const auto top = static_cast<std::size_t>(top_);
  const std::vector<LandmarkAlignment> best = best_of_tracks(query, top + 1);
  std::vector<Match> matches;
  for (std::size_t i = 0; i < std::min(best.size(), top); ++i) {
    matches.push_back(
        match_of(query, best[i], i > 0 ? 0 : confidence(query, best[0], best.size() > 1 ? best[1].count : 0)));
  }
  return matches;
}

LandmarkMatcher::LeftOut LandmarkMatcher::match_without(std::span<const Landmark> query,
                                                        std::int64_t masked_track) const {
  LeftOut out;
  std::vector<LandmarkAlignment> others;
  for (const LandmarkAlignment& found : best_of_tracks(query, store_.tracks().size())) {
    if (store_.tracks()[found.track].id == masked_track) {
      out.own_score = found.count;
    } else {
      others.push_back(found);
    }
  }
  if (!others.empty()) {
    out.best = match_of(query, others[0], confidence(query, others[0], others.size() > 1 ? others[1].count : 0));
  }
  return out;
}

/// The start in the whole track, of those that are the same modulo the table's time bits: that on which most of the
/// query's landmarks agree.
std::int64_t LandmarkMatcher::unwrapped(std::span<const Landmark> query, std::size_t track, int skew) const {
  const std::int64_t period = std::int64_t{1} << options_.time_bits;
  const std::span<const Landmark> known =
      landmarks_in(store_.database().stored_rows(store_.database().tracks()[track]));
  if (known.empty() || known.back().frame < period) {
    return skew;
  }
  const auto in_query = std::make_unique<std::bitset<1U << LandmarkOptions::kHashBits>>();
  std::vector<Landmark> sorted(query.begin(), query.end());
  std::sort(sorted.begin(), sorted.end(), by_hash);
  for (const Landmark& landmark : query) {
    in_query->set(landmark.hash);
  }
  std::map<std::int64_t, int> votes;
  for (const Landmark& landmark : known) {
    if (!in_query->test(landmark.hash)) {
      continue;
    }
    const auto [begin, end] = std::equal_range(sorted.begin(), sorted.end(), landmark, by_hash);
    for (auto at = begin; at != end; ++at) {
      const std::int64_t start = landmark.frame - at->frame;
      if (const std::int64_t off = off_by(start, skew, period); std::abs(off) <= options_.window) {
        ++votes[start - off];
      }
    }
  }
  const auto most =
      std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == votes.end() ? skew : most->first;
}

/// Those of the query's landmarks that agree with a skew in a track, within the window; ascending.
std::vector<std::int32_t> LandmarkMatcher::frames_of(std::span<const Landmark> query, std::size_t track,
                                                     std::int64_t skew) const {
  const std::int64_t period = std::int64_t{1} << options_.time_bits;
  std::vector<std::int32_t> frames;
  for (const Landmark& landmark : query) {
    for (const std::uint32_t place : table_.places(landmark.hash)) {
      if (table_.track_of(place) == track &&
          std::abs(off_by(table_.frame_of(place), landmark.frame + skew, period)) <= options_.window) {
        frames.push_back(landmark.frame);
      }
    }
  }
  std::sort(frames.begin(), frames.end());
  return frames;
}

LandmarkMatcher::Support LandmarkMatcher::support(std::span<const Landmark> query, std::int64_t track_id,
                                                  double start_s) const {
  constexpr double kLeftOut = 0.02;
  const std::vector<TrackRows>& tracks = store_.database().tracks();
  const auto position = static_cast<std::size_t>(
      std::find_if(tracks.begin(), tracks.end(), [&](const TrackRows& t) { return t.track_id == track_id; }) -
      tracks.begin());
  check(position < tracks.size(), "no track has the number ", track_id);
  const std::vector<std::int32_t> frames = frames_of(query, position, std::llround(start_s / options_.hop_seconds()));
  if (frames.empty()) {
    return {};
  }
  const auto left_out = static_cast<std::size_t>(kLeftOut * static_cast<double>(frames.size()));
  return {static_cast<int>(frames.size()), frames[left_out], frames[frames.size() - 1 - left_out]};
}

double landmark_threshold(const LandmarkOptions& options, int frames) {
  // What 5 % of 640 excerpts whose track was taken out of 64 exceed, at 1, 2, 3, 5 and 10 s: many tracks of one
  // composer share sounds.
  static const Calibration fixed{{{43, 0.6}, {86, 0.65}, {129, 0.69}, {215, 0.73}, {431, 0.8}}, 0.05, "fixed"};
  return options.min_count >= kChance ? 0 : fixed.threshold(frames);
}

}  // namespace earmark::search
