#include "data/voice.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace earmark::data {
namespace {

// A resonance of the vocal tract: two poles, unit gain at the peak.
class Formant {
 public:
  Formant(double frequency, double bandwidth, int sample_rate) {
    const double radius = std::exp(-std::numbers::pi * bandwidth / sample_rate);
    a1_ = 2 * radius * std::cos(2 * std::numbers::pi * frequency / sample_rate);
    a2_ = -radius * radius;
    gain_ = (1 - radius) *
            std::sqrt(1 - 2 * radius * std::cos(4 * std::numbers::pi * frequency / sample_rate) + radius * radius);
  }
  double next(double in) {
    const double out = gain_ * in + a1_ * y1_ + a2_ * y2_;
    y2_ = y1_;
    y1_ = out;
    return out;
  }

 private:
  double a1_, a2_, gain_;
  double y1_ = 0, y2_ = 0;
};

// A burst of shaped noise, then a vowel: a glottal pulse train through three formants.
class Voice {
 public:
  Voice(RandomStream& random, int sample_rate)
      : random_(random),
        sample_rate_(sample_rate),
        pitch_hz_(random.uniform(85, 240)),
        tract_(random.uniform(0.9, 1.15)) {}

  void syllable(std::span<float> out) {
    const std::size_t consonant = out.size() / 5;
    burst(out.first(consonant));
    vowel(out.subspan(consonant / 2));
  }

 private:
  void burst(std::span<float> out) {
    Formant shape(random_.uniform(1500, 5500), 900, sample_rate_);
    const double gain = random_.uniform(0.2, 1.5);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double window = std::sin(std::numbers::pi * static_cast<double>(i) / static_cast<double>(out.size()));
      out[i] += static_cast<float>(gain * window * shape.next(random_.uniform(-1, 1)));
    }
  }

  void vowel(std::span<float> out) {
    Formant first(tract_ * random_.uniform(280, 850), 90, sample_rate_);
    Formant second(tract_ * random_.uniform(850, 2300), 120, sample_rate_);
    Formant third(tract_ * random_.uniform(2300, 3100), 180, sample_rate_);
    const double glide = random_.uniform(-0.2, 0.15);
    const double base = pitch_hz_ * random_.uniform(0.85, 1.2);
    double phase = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double at = static_cast<double>(i) / static_cast<double>(out.size());
      phase += base * (1 + glide * at) / sample_rate_;
      phase -= std::floor(phase);
      const double pulse = (phase < 0.6 ? phase * (0.6 - phase) * 6 : 0) - 0.2 + 0.03 * random_.uniform(-1, 1);
      const double window = std::min(1.0, 8 * std::min(at, 1 - at));
      out[i] += static_cast<float>(window * (first.next(pulse) + 0.6 * second.next(pulse) + 0.3 * third.next(pulse)));
    }
  }

  RandomStream& random_;
  int sample_rate_;
  double pitch_hz_, tract_;
};

}  // namespace

void speak(std::span<float> mix, int sample_rate, RandomStream& random) {
  Voice voice(random, sample_rate);
  std::size_t at = 0;
  while (at < mix.size()) {
    const double length_s = random.uniform(0.12, 0.35);
    const auto length = std::min(static_cast<std::size_t>(length_s * sample_rate), mix.size() - at);
    voice.syllable(mix.subspan(at, length));
    const double pause_s = random.uniform() < 0.12 ? random.uniform(0.1, 0.5) : 0;
    at += length + static_cast<std::size_t>(pause_s * sample_rate) + 1;
  }
}

}  // namespace earmark::data
