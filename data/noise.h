// Background noise: recordings, babble mixed from speech, and generated white, pink and brown noise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/random.h"

namespace earmark::data {

enum class NoiseColor { white, pink, brown };  ///< Power falls by 0, 3 and 6 dB per octave.
std::string_view name_of(NoiseColor color);

/// Seeded coloured noise with root mean square 1 and no constant part. Pink and brown begin at 20 Hz.
std::vector<float> colored_noise(NoiseColor color, std::int64_t samples, std::uint64_t seed, int sample_rate = 16000);

/// A set of noises to cut from, kept as 16-bit samples scaled to full range: only what mixing makes of them has a
/// level.
class NoiseBank {
 public:
  NoiseBank() = default;

  /// Recordings: every sound file under `path` (folder, file or list). Unreadable and silent ones are skipped with
  /// their reason in `skipped()`; throws Error when nothing remains.
  void add_recordings(const std::filesystem::path& path, int sample_rate = 16000);
  /// Babble: `speakers` different voices at equal level. `path` holds speech, joined to long takes without its pauses.
  void add_babble(const std::filesystem::path& path, int speakers = 6, int takes = 4, double seconds = 30,
                  std::uint64_t seed = 0, int sample_rate = 16000);
  void add_colored(NoiseColor color, double seconds = 30, std::uint64_t seed = 0, int sample_rate = 16000);
  void add(std::span<const float> samples, std::string name);

  std::int64_t size() const { return static_cast<std::int64_t>(noises_.size()); }
  bool empty() const { return noises_.empty(); }
  const std::string& name(std::int64_t i) const { return noises_.at(static_cast<std::size_t>(i)).name; }
  std::span<const std::int16_t> samples(std::int64_t i) const {
    return noises_.at(static_cast<std::size_t>(i)).samples;
  }
  const std::vector<std::string>& skipped() const { return skipped_; }

  struct Cut {
    std::int64_t noise = 0;
    std::int64_t start = 0;
  };
  /// A random noise (each equally likely) and place in it.
  Cut draw(RandomStream& random) const;
  /// Copies from a cut on; a noise that ends goes on from its beginning.
  void copy(Cut cut, std::span<std::int16_t> out) const;

 private:
  struct Noise {
    std::vector<std::int16_t> samples;
    std::string name;
  };
  std::vector<Noise> noises_;
  std::vector<std::string> skipped_;
};

/// Babble of `speakers` voices drawn from `speech` (each a recording), seeded. Root mean square 1.
std::vector<float> mix_babble(std::span<const std::vector<float>> speech, int speakers, std::int64_t samples,
                              std::uint64_t seed);

}  // namespace earmark::data
