// The sound generators of the composer: pitched voices (additive, FM, plucked string), a drum kit and a hall.
// Each adds its sound to a mono buffer; all randomness comes from the stream given.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/random.h"

namespace earmark::data {

/// One note of a pitched voice.
struct Note {
  double start_s;
  double duration_s;
  double frequency;  ///< Hz.
  double velocity;   ///< Peak amplitude.
};

/// How a pitched voice sounds; drawn once per track and voice.
struct Timbre {
  enum class Kind { additive, fm, pluck };
  Kind kind = Kind::additive;
  double attack_s = 0.01;
  double release_s = 0.1;
  double decay_per_s = 1;        ///< Exponential decay rate while the note is held.
  double brightness = 1;         ///< Additive: slope of the partials (1/k^b); FM: peak index; pluck: low-pass weight.
  double ratio = 1;              ///< FM: modulator over carrier frequency; additive: stretch of the partials.
  double vibrato_hz = 0;         ///< 0: none.
  double detune = 0;             ///< Additive: a second voice this fraction higher.
  double odd_only = 0;           ///< Additive: how much the even partials are left out, 0 to 1.
  std::uint64_t noise_seed = 0;  ///< Pluck: the excitation differs from note to note.
};

/// A voice drawn at random; `attack_s` and `decay_per_s` set whether it is held (pads) or struck.
Timbre draw_timbre(RandomStream& random, double attack_s, double decay_per_s);

/// Adds `note` to `mix`; what falls beyond its end is cut.
void play(std::span<float> mix, int sample_rate, const Note& note, const Timbre& timbre, RandomStream& random);

/// A drum kit: every sound is a decaying sine sweep plus filtered noise.
struct Drum {
  double from_hz = 150;
  double to_hz = 50;
  double tone_decay = 20;   ///< 1/s.
  double noise = 0.1;       ///< Share of noise, 0 to 1.
  double noise_decay = 60;  ///< 1/s.
  double high_pass = 0;     ///< Of the noise, 0 to 1.
};
struct DrumKit {
  Drum kick, snare, hat, tom;
};
DrumKit draw_kit(RandomStream& random);

/// Adds one stroke to `mix`.
void strike(std::span<float> mix, int sample_rate, const Drum& drum, double start_s, double velocity,
            RandomStream& random);

/// Adds a hall (four combs and two all-passes after Schroeder) with the given wet share and RT60 in seconds.
void add_hall(std::span<float> mix, int sample_rate, double wet, double rt60_s, RandomStream& random);

}  // namespace earmark::data
