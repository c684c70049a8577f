// Parts of tracks as queries would have them, kept beside an index of landmarks: searched with their own track left
// out, they tell how well something can agree with the index that is not in it (landmark_calibrate.h). They are cut
// while the sound is at hand, since an indexed track's landmarks are not those of a query: it is analysed at several
// shifts of a frame.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "search/landmarks.h"

namespace earmark::search {

struct LandmarkExcerpt {
  static constexpr double kSeconds = 10;
  static constexpr int kPerTrack = 4;  ///< At most.
  static constexpr int kKept = 400;    ///< Of one index, at most; about 10 KB each.

  std::int64_t track_id = 0;
  int number = 0;                   ///< Of those of its track.
  std::vector<Landmark> landmarks;  ///< By frame, then hash; frame 0 is the excerpt's first.
};

/// How many excerpts are wanted of a track with this content (content_hash()), when so many files are indexed together:
/// of large collections fewer, and of some tracks none. It does not depend on who indexes which of them.
int wanted_excerpts(const std::string& content_hash, std::size_t files);

/// The landmarks, as query_landmarks() makes them, of up to `most` excerpts of mono samples at kSampleRate; places are
/// drawn from the number of samples. Shorter sound is taken whole, and gives no more excerpts than lie side by side.
std::vector<std::vector<Landmark>> excerpts_of(std::span<const float> pcm, const LandmarkOptions& options, int most);

/// Landmarks of an excerpt as bytes, 4 for each and a checksum, and back. Throws Error on other frames than an
/// excerpt's, and on bytes that are not what bytes_of() gave.
std::string bytes_of(std::span<const Landmark> excerpt);
std::vector<Landmark> excerpt_in(const std::string& bytes);

}  // namespace earmark::search
