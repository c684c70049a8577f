#include "experiments/query_noise.h"

#include <array>
#include <cmath>
#include <vector>

#include "data/composer.h"

namespace earmark::experiments {
namespace {

constexpr double kTakeSeconds = 30;

void add_synthetic_babble(data::NoiseBank& bank, const QueryNoiseOptions& options, std::uint64_t seed) {
  constexpr std::uint64_t kVoices = 12;
  constexpr std::uint64_t kTakes = 4;
  std::vector<std::vector<float>> voices;
  for (std::uint64_t voice = 0; voice < kVoices; ++voice) {
    voices.push_back(data::compose_speech(seed + voice, 20, options.sample_rate));
  }
  const std::int64_t samples = std::llround(kTakeSeconds * options.sample_rate);
  for (std::uint64_t take = 0; take < kTakes; ++take) {
    bank.add(data::mix_babble(voices, options.babble_speakers, samples, seed + take), "babble");
  }
}

void add_unit_noise(const data::NoiseBank& bank, std::span<float> out, RandomStream& random) {
  std::vector<std::int16_t> noise(out.size());
  bank.copy(bank.draw(random), noise);
  double energy = 1e-20;
  for (const std::int16_t sample : noise) {
    energy += static_cast<double>(sample) * static_cast<double>(sample);
  }
  const auto gain = static_cast<float>(std::sqrt(static_cast<double>(noise.size()) / energy));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] += gain * static_cast<float>(noise[i]);
  }
}

}  // namespace

QueryNoise::QueryNoise(const QueryNoiseOptions& options) {
  const std::uint64_t seed = options.seed ^ 0x7e57U;
  if (options.speech.empty()) {
    add_synthetic_babble(babble_, options, seed);
  } else {
    babble_.add_babble(options.speech, options.babble_speakers, 6, kTakeSeconds, seed, options.sample_rate);
  }
  pink_.add_colored(data::NoiseColor::pink, 2 * kTakeSeconds, seed + 1, options.sample_rate);
  brown_.add_colored(data::NoiseColor::brown, 2 * kTakeSeconds, seed + 2, options.sample_rate);
}

std::string QueryNoise::add(std::span<float> out, RandomStream& random) const {
  struct Kind {
    const char* name;
    bool babble, pink, brown;
  };
  static constexpr std::array<Kind, 5> kNoiseKinds = {{{"babble", true, false, false},
                                                       {"pink", false, true, false},
                                                       {"brown", false, false, true},
                                                       {"babble+pink", true, true, false},
                                                       {"babble+brown", true, false, true}}};
  const Kind& kind = kNoiseKinds.at(random.below(kNoiseKinds.size()));
  if (kind.babble) {
    add_unit_noise(babble_, out, random);
  }
  if (kind.pink) {
    add_unit_noise(pink_, out, random);
  }
  if (kind.brown) {
    add_unit_noise(brown_, out, random);
  }
  return kind.name;
}

}  // namespace earmark::experiments
