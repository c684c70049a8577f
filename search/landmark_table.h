// Where each hash occurs in which track: audfprint's table (D. Ellis, after A. Wang, ISMIR 2003). A bucket for each of
// 2^20 hashes keeps a limited number of places; of more, a choice in which each has the same chance (reservoir
// sampling, drawn from a counter: the same tracks give the same table). A place is a track and a frame modulo
// 2^time_bits. Buckets lie one behind the other, each as large as it is filled: 4 bytes for a landmark, and 4 MB.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "search/landmarks.h"

namespace earmark::search {

class LandmarkTable {
 public:
  /// Landmarks of each track, which is named by its position. Throws Error on hashes of more than 20 bits, and on more
  /// tracks than the bits left by the time can number.
  LandmarkTable(const LandmarkOptions& options, std::span<const std::span<const Landmark>> tracks);

  /// Places of a hash, each track << time_bits | frame; in the order they came in while the bucket was not full.
  std::span<const std::uint32_t> places(std::uint32_t hash) const {
    return {places_.data() + begins_[hash], begins_[hash + 1] - begins_[hash]};
  }
  std::uint32_t track_of(std::uint32_t place) const { return place >> time_bits_; }
  std::uint32_t frame_of(std::uint32_t place) const { return place & ((1U << time_bits_) - 1U); }
  /// Landmarks that each track was given with, whether or not a bucket still keeps them.
  std::span<const std::int64_t> landmarks_per_track() const { return landmarks_per_track_; }
  std::int64_t kept() const { return static_cast<std::int64_t>(places_.size()); }

 private:
  void fill(const LandmarkOptions& options, std::span<const std::span<const Landmark>> tracks);

  unsigned time_bits_;
  std::vector<std::uint32_t> begins_;  // by hash, and the end
  std::vector<std::uint32_t> places_;
  std::vector<std::int64_t> landmarks_per_track_;
};

}  // namespace earmark::search
