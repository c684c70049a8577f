#include "search/landmarks.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <map>
#include <sstream>

#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::search {
namespace {

constexpr int kNearest = 2;    // frames between the peaks of a pair, at least
constexpr int kFarthest = 63;  // and less than this
constexpr int kBinsApart = 31;
constexpr unsigned kDistanceBits = 6;
constexpr unsigned kFrameBits = 6;
constexpr unsigned kBinBits = 8;
constexpr unsigned mask_of(unsigned bits) { return (1U << bits) - 1U; }

/// Landmarks that come by frame, in order; one of each.
void make_unique(std::vector<Landmark>& landmarks) {
  for (auto begin = landmarks.begin(); begin != landmarks.end();) {
    const auto end = std::find_if(begin, landmarks.end(), [&](const Landmark& l) { return l.frame != begin->frame; });
    std::sort(begin, end);
    begin = end;
  }
  landmarks.erase(std::unique(landmarks.begin(), landmarks.end()), landmarks.end());
}

/// The options in their order, whatever is done with them.
template <class Options, class F>
void each_option(Options& options, const F& visit) {
  visit("density", options.peaks.density);
  visit("spread", options.peaks.spread_bins);
  visit("peaks", options.peaks.peaks_per_frame);
  visit("fan_out", options.fan_out);
  visit("shifts", options.query_shifts);
  visit("bucket", options.bucket);
  visit("time_bits", options.time_bits);
  visit("min_count", options.min_count);
  visit("window", options.window);
  visit("depth", options.search_depth);
}

void check_landmark_options(const LandmarkOptions& options) {
  static_cast<void>(options.peaks.decay());
  check(options.fan_out >= 1 && options.query_shifts >= 1 && options.query_shifts <= 64 && options.bucket >= 1 &&
            options.time_bits >= 6 && options.time_bits <= 24 && options.min_count >= 0 && options.window >= 0 &&
            options.search_depth >= 1,
        "landmarks: an option is out of its range: ", to_text(options));
}

std::vector<Landmark> landmarks_of_sound(std::span<const float> pcm, const LandmarkOptions& options) {
  kernels::LandmarkPeakOptions peaks = options.peaks;
  peaks.in_16_bits = true;
  return landmarks_of(kernels::landmark_peaks(pcm, peaks), options.fan_out);
}

}  // namespace

LandmarkOptions landmark_setting(std::string_view name) {
  LandmarkOptions options;
  if (name == "dense" || name == "best") {
    options.peaks.density = name == "dense" ? 70 : 100;
    options.fan_out = 8;
  }
  if (name == "dense") {
    options.bucket = 500;
  } else if (name == "best") {
    options.peaks.peaks_per_frame = 10;
    options.min_count = 1;
  } else {
    check(name == "default", "landmarks: expected default, dense or best, got '", name, "'");
  }
  return options;
}

const std::vector<std::string>& landmark_settings() {
  static const std::vector<std::string> names = {"default", "dense", "best"};
  return names;
}

std::string to_text(const LandmarkOptions& options) {
  std::ostringstream out;
  each_option(options, [&](const char* name, const auto& value) {
    out << (out.tellp() > 0 ? " " : "") << name << '=' << value;
  });
  return out.str();
}

LandmarkOptions landmark_options_from(const std::string& text) {
  std::map<std::string, std::string> values;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::size_t equals = std::min(word.find('='), word.size() - 1);
    values[word.substr(0, equals)] = word.substr(equals + 1);
  }
  LandmarkOptions options;
  std::size_t read = 0;
  each_option(options, [&](const char* name, auto& value) {
    const std::string& number = values[name];
    const char* end = number.data() + number.size();
    const auto [stop, error] = std::from_chars(number.data(), end, value);
    check(error == std::errc() && stop == end, "landmarks: no number for ", name, " in '", text, "'");
    ++read;
  });
  check(values.size() == read, "landmarks: unknown options in '", text, "'");
  check_landmark_options(options);
  return options;
}

std::uint32_t landmark_hash(int first_bin, int second_bin, int frames) {
  return (static_cast<unsigned>(first_bin) & mask_of(kBinBits)) << (kDistanceBits + kFrameBits) |
         (static_cast<unsigned>(second_bin - first_bin) & mask_of(kDistanceBits)) << kFrameBits |
         (static_cast<unsigned>(frames) & mask_of(kFrameBits));
}

LandmarkPair pair_of(std::uint32_t hash) {
  const auto first = static_cast<int>(hash >> (kDistanceBits + kFrameBits) & mask_of(kBinBits));
  const auto distance = static_cast<int>(hash >> kFrameBits & mask_of(kDistanceBits));
  constexpr int kDistances = 1 << kDistanceBits;
  return {first, first + distance - (distance < kDistances / 2 ? 0 : kDistances),
          static_cast<int>(hash & mask_of(kFrameBits))};
}

std::vector<Landmark> landmarks_of(std::span<const kernels::LandmarkPeak> peaks, int fan_out) {
  std::vector<Landmark> out;
  out.reserve(peaks.size() * static_cast<std::size_t>(fan_out));
  std::size_t second = 0;
  for (const kernels::LandmarkPeak& peak : peaks) {
    while (second < peaks.size() && peaks[second].frame < peak.frame + kNearest) {
      ++second;
    }
    int pairs = 0;
    for (std::size_t i = second; i < peaks.size() && peaks[i].frame < peak.frame + kFarthest && pairs < fan_out; ++i) {
      if (std::abs(peaks[i].bin - peak.bin) < kBinsApart) {
        out.push_back({peak.frame, landmark_hash(peak.bin, peaks[i].bin, peaks[i].frame - peak.frame)});
        ++pairs;
      }
    }
  }
  make_unique(out);
  return out;
}

std::vector<Landmark> landmarks(std::span<const float> pcm, const LandmarkOptions& options) {
  return landmarks_of_sound(pcm, options);
}

std::vector<Landmark> query_landmarks(std::span<const float> pcm, const LandmarkOptions& options) {
  const int shifts = options.query_shifts;
  std::vector<std::vector<Landmark>> parts(static_cast<std::size_t>(shifts));
  parallel_for(shifts, [&](std::int64_t shift) {
    const auto moved = static_cast<std::size_t>(shift * kernels::LandmarkPeakOptions::kHop / shifts);
    parts[static_cast<std::size_t>(shift)] = landmarks_of_sound(pcm.subspan(std::min(moved, pcm.size())), options);
  });
  std::vector<Landmark> out;
  for (const std::vector<Landmark>& part : parts) {
    const auto middle = static_cast<std::ptrdiff_t>(out.size());
    out.insert(out.end(), part.begin(), part.end());
    std::inplace_merge(out.begin(), out.begin() + middle, out.end());
  }
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace earmark::search
