// Landmarks: pairs of peaks (kernels/landmark_peaks.h), each hashed to 20 bits: 8 of the first peak's bin, 6 of the
// distance in bins, 6 of the distance in frames. The analysis of audfprint (D. Ellis), whose hashes these are, and its
// ways to be set.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/landmark_peaks.h"

namespace earmark::search {

/// One hash and the frame of its first peak.
struct Landmark {
  std::int32_t frame = 0;
  std::uint32_t hash = 0;
  friend bool operator==(const Landmark&, const Landmark&) = default;
  friend bool operator<(const Landmark& a, const Landmark& b) {
    return a.frame != b.frame ? a.frame < b.frame : a.hash < b.hash;
  }
};

struct LandmarkOptions {
  static constexpr int kHashBits = 20;
  static constexpr int kSampleRate = kernels::LandmarkPeakOptions::kSampleRate;

  kernels::LandmarkPeakOptions peaks;
  int fan_out = 3;         ///< Pairs that a peak is the first of, at most.
  int query_shifts = 4;    ///< A query is analysed so often, its beginning moved by parts of a frame.
  int bucket = 100;        ///< Places that are kept of one hash; of more, a random choice.
  int time_bits = 14;      ///< Frames are kept modulo 2^time_bits in the table.
  int min_count = 5;       ///< An alignment needs more hashes than this.
  int window = 2;          ///< Frames that hashes may be off and still count.
  int search_depth = 100;  ///< Tracks looked into, those with the largest share of their hashes found first.

  double hop_seconds() const { return static_cast<double>(kernels::LandmarkPeakOptions::kHop) / kSampleRate; }
};

/// "default": audfprint's own; "dense": density 70, fan-out 8, buckets of 500; "best": density 100, fan-out 8, 10 peaks
/// a frame, and an alignment needs but 2 hashes. Throws Error on another name.
LandmarkOptions landmark_setting(std::string_view name);
const std::vector<std::string>& landmark_settings();

/// All options as one line of "key=value" pairs, and back. Throws Error on anything else.
std::string to_text(const LandmarkOptions& options);
LandmarkOptions landmark_options_from(const std::string& text);

/// The hash of two peaks `frames` apart, and what it says: bins within 8 bits, a distance of -32 to 31 bins and of 0 to
/// 63 frames.
std::uint32_t landmark_hash(int first_bin, int second_bin, int frames);
struct LandmarkPair {
  int first_bin = 0;
  int second_bin = 0;
  int frames = 0;
  friend bool operator==(const LandmarkPair&, const LandmarkPair&) = default;
};
LandmarkPair pair_of(std::uint32_t hash);

/// Pairs of peaks: each with the first that follow by 2 to 62 frames and lie less than 31 bins away, up to the fan-out.
/// The peaks are in order of frame, then bin. One of each, by frame, then hash.
std::vector<Landmark> landmarks_of(std::span<const kernels::LandmarkPeak> peaks, int fan_out);

/// Landmarks of mono samples (±1: full scale) at kSampleRate, by frame, then hash: as music is indexed, and with the
/// shifts of a query. Samples are rounded to 16 bits first, for so audfprint reads sound: the spectrogram is
/// logarithmic, and what lies below the last bit would have landmarks of its own.
std::vector<Landmark> landmarks(std::span<const float> pcm, const LandmarkOptions& options);
std::vector<Landmark> query_landmarks(std::span<const float> pcm, const LandmarkOptions& options);

}  // namespace earmark::search
