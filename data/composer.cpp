#include "data/composer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <string>

#include "data/instruments.h"
#include "data/voice.h"
#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace earmark::data {
namespace {

constexpr std::uint64_t kMusicStream = 0x4d55534943;
constexpr std::uint64_t kSpeechStream = 0x5350454543;
constexpr std::array<std::array<int, 7>, 5> kScales = {{{0, 2, 4, 5, 7, 9, 11},
                                                        {0, 2, 3, 5, 7, 8, 10},
                                                        {0, 2, 3, 5, 7, 9, 10},
                                                        {0, 2, 4, 5, 7, 9, 10},
                                                        {0, 2, 3, 5, 7, 8, 11}}};

// What stays the same through a track.
struct Style {
  double beat_s;
  int beats;  // In a bar.
  std::array<int, 7> scale;
  double tonic_hz;
  Timbre lead, counter, pad, bass;
  DrumKit kit;
  double lead_gain, counter_gain, pad_gain, bass_gain, drum_gain;
  double density;  // Chance of a melody note on each eighth.
  double swing;
  double wet, rt60_s;
  double noise_db;
};

Style draw_style(RandomStream& random) {
  Style style{};
  style.beat_s = 60 / random.uniform(66, 168);
  style.beats = random.uniform() < 0.75 ? 4 : 3;
  style.scale = kScales.at(random.below(kScales.size()));
  style.tonic_hz = 220 * std::pow(2, random.uniform(-0.6, 0.6));
  style.lead = draw_timbre(random, 0.01, 1.5);
  style.counter = draw_timbre(random, 0.006, 4);
  style.pad = draw_timbre(random, 0.15, 0.2);
  style.bass = draw_timbre(random, 0.01, 1);
  style.kit = draw_kit(random);
  style.lead_gain = random.uniform(0.2, 0.4);
  style.counter_gain = random.uniform() < 0.7 ? random.uniform(0.05, 0.25) : 0;
  style.pad_gain = random.uniform(0.05, 0.2);
  style.bass_gain = random.uniform(0.15, 0.4);
  style.drum_gain = random.uniform() < 0.75 ? random.uniform(0.2, 0.7) : 0;
  style.density = random.uniform(0.35, 0.8);
  style.swing = random.uniform() < 0.3 ? random.uniform(0.05, 0.16) : 0;
  style.wet = random.uniform(0.1, 0.7);
  style.rt60_s = random.uniform(0.5, 2.5);
  style.noise_db = random.uniform(-75, -45);
  return style;
}

// Writes bar after bar into the mix.
class Composer {
 public:
  Composer(std::vector<float>& mix, int sample_rate, RandomStream& random)
      : mix_(mix), sample_rate_(sample_rate), random_(random), style_(draw_style(random)) {}

  void run() {
    const double length_s = static_cast<double>(mix_.size()) / sample_rate_;
    double bar_s = -random_.uniform(0, style_.beats * style_.beat_s);
    for (int bar = 0; bar_s < length_s; ++bar) {
      if (bar % 8 == 0) {
        begin_section();
      }
      next_chord();
      write_bar(bar_s);
      // Players breathe: no two bars are exactly as long.
      bar_s += style_.beats * style_.beat_s * (1 + 0.004 * random_.normal());
    }
    add_hall(mix_, sample_rate_, style_.wet, style_.rt60_s, random_);
    add_noise_floor();
  }

 private:
  double pitch(int degree) const {
    const int octave = degree >= 0 ? degree / 7 : -((6 - degree) / 7);
    const int semitone = style_.scale.at(static_cast<std::size_t>(degree - 7 * octave)) + 12 * octave;
    return style_.tonic_hz * std::pow(2, semitone / 12.0);
  }

  bool chance(double p) { return random_.uniform() < p; }
  double loudness(double gain) { return gain * random_.uniform(0.6, 1.1); }

  // Instruments come and go from section to section.
  void begin_section() {
    drums_ = style_.drum_gain > 0 && chance(0.8);
    lead_ = chance(0.85);
    counter_ = style_.counter_gain > 0 && chance(0.6);
    pads_ = chance(0.8) || (!lead_ && !drums_);
    kick_pattern_ = random_.bits() & random_.bits();
    snare_pattern_ = random_.bits() & random_.bits() & random_.bits();
  }

  // A walk over the scale's triads by the usual root movements: fourths and fifths most, then thirds and steps.
  void next_chord() {
    constexpr std::array kMoves = {3, 3, 3, 4, 4, 1, 1, 5, 5, 2, 6, 0};
    root_ = (root_ + kMoves.at(random_.below(kMoves.size()))) % 7;
  }

  void write_bar(double bar_s) {
    write_pads(bar_s);
    write_bass(bar_s);
    if (lead_) {
      write_melody(bar_s);
    }
    if (counter_) {
      write_arpeggio(bar_s);
    }
    if (drums_) {
      write_drums(bar_s);
    }
  }

  void sound(const Timbre& timbre, double start_s, double duration_s, double frequency, double velocity) {
    play(mix_, sample_rate_, {start_s + 0.006 * random_.normal(), duration_s, frequency, velocity}, timbre, random_);
  }

  void write_pads(double bar_s) {
    if (!pads_) {
      return;
    }
    const double length_s = style_.beats * style_.beat_s;
    for (const int third : {0, 2, 4, chance(0.3) ? 6 : 7}) {
      sound(style_.pad, bar_s, length_s * random_.uniform(0.9, 1.05), pitch(root_ + third), loudness(style_.pad_gain));
    }
  }

  void write_bass(double bar_s) {
    for (int beat = 0; beat < style_.beats; ++beat) {
      if (beat == 0 || chance(0.55)) {
        const int degree = root_ + (beat == 0 || chance(0.6) ? 0 : 4) - 14;
        sound(style_.bass, bar_s + beat * style_.beat_s, style_.beat_s * random_.uniform(0.5, 1), pitch(degree),
              loudness(style_.bass_gain));
      }
    }
  }

  void write_melody(double bar_s) {
    for (int eighth = 0; eighth < 2 * style_.beats; ++eighth) {
      if (!chance(style_.density)) {
        continue;
      }
      melody_ += static_cast<int>(random_.below(5)) - 2 + (chance(0.08) ? 4 : 0) - (chance(0.08) ? 4 : 0);
      melody_ = std::clamp(melody_, -3, 13);
      // Strong beats fall on chord notes.
      const bool strong = eighth % 4 == 0;
      const int degree = strong ? root_ + 2 * static_cast<int>(random_.below(3)) + (melody_ > 6 ? 7 : 0) : melody_;
      const double start_s = bar_s + (eighth + (eighth % 2 == 1 ? 2 * style_.swing : 0)) * style_.beat_s / 2;
      sound(style_.lead, start_s, style_.beat_s * random_.uniform(0.3, 1.2), pitch(degree), loudness(style_.lead_gain));
    }
  }

  void write_arpeggio(double bar_s) {
    for (int step = 0; step < 4 * style_.beats; ++step) {
      if (chance(0.7)) {
        const int degree = root_ + 2 * static_cast<int>(random_.below(4)) + (chance(0.3) ? 7 : 0);
        sound(style_.counter, bar_s + step * style_.beat_s / 4, style_.beat_s * 0.25, pitch(degree),
              loudness(style_.counter_gain));
      }
    }
  }

  void stroke(const Drum& drum, double start_s, double gain) {
    strike(mix_, sample_rate_, drum, start_s + 0.003 * random_.normal(), loudness(style_.drum_gain * gain), random_);
  }

  void write_drums(double bar_s) {
    for (int step = 0; step < 4 * style_.beats; ++step) {
      const double start_s = bar_s + step * style_.beat_s / 4;
      const std::uint32_t bit = 1U << static_cast<unsigned>(step);
      if (step == 0 || (kick_pattern_ & bit) != 0 || chance(0.05)) {
        stroke(style_.kit.kick, start_s, 1);
      }
      if (step % 8 == 4 || (snare_pattern_ & bit) != 0 || chance(0.03)) {
        stroke(style_.kit.snare, start_s, 0.7);
      }
      if (step % 2 == 0 || chance(0.2)) {
        stroke(style_.kit.hat, start_s, 0.25);
      }
      if (chance(0.04)) {
        stroke(style_.kit.tom, start_s, 0.8);
      }
    }
  }

  void add_noise_floor() {
    const double amplitude = std::pow(10, style_.noise_db / 20);
    for (float& sample : mix_) {
      sample += static_cast<float>(amplitude * random_.uniform(-1, 1));
    }
  }

  std::vector<float>& mix_;
  int sample_rate_;
  RandomStream& random_;
  Style style_;
  int root_ = 0;
  int melody_ = 4;
  bool drums_ = false, lead_ = false, counter_ = false, pads_ = false;
  std::uint32_t kick_pattern_ = 0, snare_pattern_ = 0;
};

void scale_to_peak(std::vector<float>& samples, float peak) {
  float highest = 0;
  for (const float sample : samples) {
    highest = std::max(highest, std::abs(sample));
  }
  if (highest > 0) {
    for (float& sample : samples) {
      sample *= peak / highest;
    }
  }
}

std::vector<float> silence(double seconds, int sample_rate) {
  check(seconds > 0 && sample_rate > 0, "compose: expected a positive duration and sample rate, got ", seconds,
        " s at ", sample_rate, " Hz");
  return std::vector<float>(static_cast<std::size_t>(std::llround(seconds * sample_rate)), 0.0F);
}

std::string file_name(const ComposeOptions& options, int track) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%s-%04d.wav", options.speech ? "voice" : "track", track);
  return name.data();
}

}  // namespace

std::vector<float> compose(std::uint64_t seed, double seconds, int sample_rate) {
  std::vector<float> mix = silence(seconds, sample_rate);
  RandomStream random(seed, kMusicStream);
  Composer(mix, sample_rate, random).run();
  scale_to_peak(mix, 0.8F);
  return mix;
}

std::vector<float> compose_speech(std::uint64_t seed, double seconds, int sample_rate) {
  std::vector<float> mix = silence(seconds, sample_rate);
  RandomStream random(seed, kSpeechStream);
  speak(mix, sample_rate, random);
  scale_to_peak(mix, 0.8F);
  return mix;
}

int compose_folder(const std::filesystem::path& folder, const ComposeOptions& options) {
  check(options.tracks > 0, "compose: expected at least one track, got ", options.tracks);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, folder.string(), ": cannot make the folder: ", error.message());
  std::atomic<int> written = 0;
  parallel_for(options.tracks, [&](std::int64_t track) {
    const std::filesystem::path path = folder / file_name(options, static_cast<int>(track));
    if (std::filesystem::exists(path)) {
      return;
    }
    // The seed of a track depends on the folder's seed and its number only: more tracks keep the first ones.
    const std::uint64_t seed = options.seed * 1'000'003 + static_cast<std::uint64_t>(track);
    const auto samples = options.speech ? compose_speech(seed, options.seconds, options.sample_rate)
                                        : compose(seed, options.seconds, options.sample_rate);
    write_wav(path, samples, options.sample_rate);
    ++written;
  });
  return written;
}

}  // namespace earmark::data
