// A small composed collection and an index of its landmarks: what the tests of landmark indexes share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "kernels/random.h"
#include "search/index_writer.h"
#include "search/indexer.h"
#include "search/landmark_rows.h"
#include "tests/search/composed.h"

namespace earmark::search {

class ComposedLandmarks : public Composed {
 public:
  explicit ComposedLandmarks(const std::string& setting = "best", int tracks = 3, double seconds = 20)
      : Composed(tracks, seconds), options(landmark_setting(setting)) {}

  IndexWriter landmark_writer() const { return IndexWriter::create(index(), {}, landmark_format(options)); }
  IndexReport add_landmarks(const std::vector<std::filesystem::path>& paths) const {
    IndexWriter open = landmark_writer();
    return add_audio(open, find_sources(paths),
                     [&](std::span<const float> pcm) { return rows_of(landmarks(pcm, options)); });
  }

  LandmarkOptions options;
};

/// `count` landmarks of random hashes, one to four a frame.
inline std::vector<Landmark> random_landmarks(int count, std::uint64_t seed) {
  RandomStream random(seed);
  std::vector<Landmark> out;
  int frame = 0;
  while (static_cast<int>(out.size()) < count) {
    frame += static_cast<int>(random.below(2));
    out.push_back({frame, static_cast<std::uint32_t>(random.below(1U << 20U))});
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace earmark::search
