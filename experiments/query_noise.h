// The noises of test queries: babble, pink, brown, and babble mixed with either; never those of training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/noise.h"

namespace earmark::experiments {

struct QueryNoiseOptions {
  std::filesystem::path speech;  ///< Speech for babble; empty: synthetic voices.
  int babble_speakers = 6;
  std::uint64_t seed = 2022;
  int sample_rate = 16000;
};

class QueryNoise {
 public:
  /// Throws Error where there is no speech in the given folder.
  explicit QueryNoise(const QueryNoiseOptions& options);
  /// Adds noise to `out` and returns its kind: "babble", "pink", "brown", "babble+pink" or "babble+brown", the two
  /// parts equally loud.
  std::string add(std::span<float> out, RandomStream& random) const;

 private:
  data::NoiseBank babble_, pink_, brown_;
};

}  // namespace earmark::experiments
