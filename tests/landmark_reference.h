// What audfprint itself found (tests/golden/landmark.json, made by tools/audfprint_reference.py), and the sound it was
// given: whole numbers only, the same samples everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace earmark::testing {

inline constexpr int kLandmarkRate = 11025;

inline const nlohmann::json& landmark_reference() {
  static const nlohmann::json reference = [] {
    std::ifstream in(std::string(EARMARK_SOURCE_DIR) + "/tests/golden/landmark.json");
    return nlohmann::json::parse(in);
  }();
  return reference;
}

/// A linear congruential generator of 32 bits; the upper 16 are used.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : state_(seed) {}
  std::int64_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> 16U;
  }

 private:
  std::uint32_t state_;
};

/// Notes, triangle waves that fade, over noise: 16-bit samples.
inline std::vector<std::int64_t> reference_sound(std::uint32_t seed, std::int64_t samples) {
  Numbers numbers(seed);
  std::vector<std::int64_t> mixed(static_cast<std::size_t>(samples), 0);
  std::int64_t begin = 0;
  while (begin < samples) {
    const auto step = static_cast<std::uint32_t>((80 + numbers.next() % 3800) * (0xFFFFFFFFU / kLandmarkRate));
    std::int64_t level = (500 + numbers.next() % 4000) * 256;
    const auto fade = 7 + numbers.next() % 4;
    std::uint32_t phase = 0;
    for (std::int64_t i = begin; i < std::min(samples, begin + 6000); ++i) {
      const std::int64_t triangle = std::abs(static_cast<std::int64_t>(phase >> 16U) - 32768) - 16384;
      mixed[static_cast<std::size_t>(i)] += (level >> 8) * triangle >> 14;
      level -= level >> fade;
      phase += step;
    }
    begin += 40 + numbers.next() % 500;
  }
  for (std::int64_t& x : mixed) {
    x = std::clamp<std::int64_t>(x + (numbers.next() >> 8) - 128, -32768, 32767);
  }
  return mixed;
}

inline std::vector<float> as_pcm(const std::vector<std::int64_t>& samples) {
  std::vector<float> pcm(samples.size());
  std::transform(samples.begin(), samples.end(), pcm.begin(),
                 [](std::int64_t x) { return static_cast<float>(x) / 32768; });
  return pcm;
}

/// Numbers kept as differences.
inline std::vector<std::int64_t> unpacked(const nlohmann::json& differences) {
  std::vector<std::int64_t> out;
  std::int64_t sum = 0;
  for (const std::int64_t difference : differences.get<std::vector<std::int64_t>>()) {
    out.push_back(sum += difference);
  }
  return out;
}

}  // namespace earmark::testing
