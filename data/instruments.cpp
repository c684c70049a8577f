#include "data/instruments.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace earmark::data {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// The samples of a note inside a buffer.
struct Extent {
  std::size_t begin;
  std::size_t count;
};

Extent extent_of(std::span<float> mix, int sample_rate, double start_s, double length_s) {
  const double begin = std::max(0.0, start_s * sample_rate);
  if (begin >= static_cast<double>(mix.size())) {
    return {mix.size(), 0};
  }
  const auto first = static_cast<std::size_t>(begin);
  const auto count = static_cast<std::size_t>(std::max(0.0, length_s * sample_rate));
  return {first, std::min(count, mix.size() - first)};
}

// Attack, exponential decay while held, linear release.
class Envelope {
 public:
  Envelope(const Note& note, const Timbre& timbre, int sample_rate)
      : attack_(std::max(1.0, timbre.attack_s * sample_rate)),
        held_(note.duration_s * sample_rate),
        release_(std::max(1.0, timbre.release_s * sample_rate)),
        fade_(std::exp(-timbre.decay_per_s / sample_rate)) {}

  float next() {
    const double at = static_cast<double>(n_++);
    const double rise = std::min(1.0, at / attack_);
    const double fall = std::clamp(1 - (at - held_) / release_, 0.0, 1.0);
    level_ *= fade_;
    return static_cast<float>(rise * fall * level_);
  }

 private:
  double attack_, held_, release_, fade_;
  double level_ = 1;
  std::int64_t n_ = 0;
};

// A sine by rotation of a phasor: one complex multiplication a sample.
class Oscillator {
 public:
  Oscillator(double radians_per_sample, double phase)
      : step_cos_(static_cast<float>(std::cos(radians_per_sample))),
        step_sin_(static_cast<float>(std::sin(radians_per_sample))),
        cos_(static_cast<float>(std::cos(phase))),
        sin_(static_cast<float>(std::sin(phase))) {}

  float next() {
    const float c = cos_ * step_cos_ - sin_ * step_sin_;
    sin_ = cos_ * step_sin_ + sin_ * step_cos_;
    cos_ = c;
    return sin_;
  }

 private:
  float step_cos_, step_sin_, cos_, sin_;
};

void play_additive(std::span<float> out, int sample_rate, const Note& note, const Timbre& timbre,
                   RandomStream& random) {
  std::vector<float> tone(out.size(), 0.0F);
  const int voices = timbre.detune > 0 ? 2 : 1;
  for (int voice = 0; voice < voices; ++voice) {
    const double f0 = note.frequency * (1 + voice * timbre.detune);
    for (int k = 1; k <= 10 && f0 * k * timbre.ratio < 0.45 * sample_rate; ++k) {
      const double odd = k % 2 == 0 ? 1 - timbre.odd_only : 1;
      const auto gain = static_cast<float>(odd / std::pow(k, timbre.brightness) / voices);
      Oscillator sine(kTwoPi * f0 * (1 + (k - 1) * (timbre.ratio - 1)) * k / sample_rate, kTwoPi * random.uniform());
      for (float& sample : tone) {
        sample += gain * sine.next();
      }
    }
  }
  Envelope envelope(note, timbre, sample_rate);
  const auto velocity = static_cast<float>(0.7 * note.velocity);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] += velocity * envelope.next() * tone[i];
  }
}

void play_fm(std::span<float> out, int sample_rate, const Note& note, const Timbre& timbre, RandomStream& random) {
  const double step = kTwoPi * note.frequency / sample_rate;
  Oscillator modulator(step * timbre.ratio, kTwoPi * random.uniform());
  Oscillator vibrato(kTwoPi * timbre.vibrato_hz / sample_rate, 0);
  Envelope envelope(note, timbre, sample_rate);
  double phase = 0;
  for (float& sample : out) {
    const float level = envelope.next();
    phase += step * (1 + 0.006 * static_cast<double>(vibrato.next()));
    const float index = static_cast<float>(timbre.brightness) * (0.3F + 0.7F * level);
    sample +=
        static_cast<float>(note.velocity) * level * std::sin(static_cast<float>(phase) + index * modulator.next());
    phase = phase > kTwoPi ? phase - kTwoPi : phase;
  }
}

// Karplus and Strong (1983): a delay line of noise, low-passed on every pass; linear interpolation for the pitch.
void play_pluck(std::span<float> out, int sample_rate, const Note& note, const Timbre& timbre, RandomStream& random) {
  const double period = sample_rate / note.frequency - 0.5;
  const auto length = static_cast<std::size_t>(std::max(2.0, period));
  const auto fraction = static_cast<float>(std::clamp(period - static_cast<double>(length), 0.0, 1.0));
  std::vector<float> line(length + 1);
  for (float& sample : line) {
    sample = static_cast<float>(random.uniform(-1, 1));
  }
  Envelope envelope(note, timbre, sample_rate);
  const auto keep = static_cast<float>(std::clamp(timbre.brightness, 0.5, 0.95));
  const auto loss = static_cast<float>(std::exp(-timbre.decay_per_s * 0.2 / note.frequency));
  std::size_t at = 0;
  float last = 0;
  for (float& sample : out) {
    const std::size_t next = at + 1 == line.size() ? 0 : at + 1;
    const float read = line[next] * (1 - fraction) + line[at] * fraction;
    const float filtered = loss * (keep * read + (1 - keep) * last);
    last = read;
    line[at] = filtered;
    at = next;
    sample += static_cast<float>(note.velocity) * envelope.next() * filtered;
  }
}

struct Comb {
  std::vector<float> line;
  float feedback;
  float damped = 0;
  std::size_t at = 0;

  float next(float in) {
    const float out = line[at];
    damped = 0.7F * out + 0.3F * damped;
    line[at] = in + feedback * damped;
    at = at + 1 == line.size() ? 0 : at + 1;
    return out;
  }
};

struct AllPass {
  std::vector<float> line;
  std::size_t at = 0;

  float next(float in) {
    const float delayed = line[at];
    const float out = delayed - 0.5F * in;
    line[at] = in + 0.5F * out;
    at = at + 1 == line.size() ? 0 : at + 1;
    return out;
  }
};

}  // namespace

Timbre draw_timbre(RandomStream& random, double attack_s, double decay_per_s) {
  Timbre timbre;
  timbre.kind = static_cast<Timbre::Kind>(random.below(3));
  timbre.attack_s = attack_s * random.uniform(0.5, 2);
  timbre.release_s = random.uniform(0.03, 0.3);
  timbre.decay_per_s = decay_per_s * random.uniform(0.5, 2);
  timbre.vibrato_hz = random.uniform() < 0.5 ? random.uniform(3, 7) : 0;
  timbre.detune = random.uniform() < 0.5 ? random.uniform(0.002, 0.01) : 0;
  timbre.odd_only = random.uniform() < 0.4 ? random.uniform(0.5, 1) : 0;
  timbre.ratio = 1;
  timbre.brightness = random.uniform(0.6, 1.8);
  if (timbre.kind == Timbre::Kind::fm) {
    constexpr std::array kRatios = {0.5, 1.0, 1.0, 1.41, 2.0, 3.0, 3.5, 4.0};
    timbre.ratio = kRatios.at(random.below(kRatios.size()));
    timbre.brightness = random.uniform(0.5, 5);
  } else if (timbre.kind == Timbre::Kind::pluck) {
    timbre.brightness = random.uniform(0.5, 0.95);
  } else if (random.uniform() < 0.2) {
    timbre.ratio = 1 + random.uniform(0.0005, 0.004);
  }
  return timbre;
}

void play(std::span<float> mix, int sample_rate, const Note& note, const Timbre& timbre, RandomStream& random) {
  const auto [begin, count] = extent_of(mix, sample_rate, note.start_s, note.duration_s + timbre.release_s);
  if (count == 0 || note.frequency < 20 || note.frequency > 0.4 * sample_rate) {
    return;
  }
  const auto out = mix.subspan(begin, count);
  switch (timbre.kind) {
    case Timbre::Kind::additive:
      play_additive(out, sample_rate, note, timbre, random);
      break;
    case Timbre::Kind::fm:
      play_fm(out, sample_rate, note, timbre, random);
      break;
    case Timbre::Kind::pluck:
      play_pluck(out, sample_rate, note, timbre, random);
      break;
  }
}

DrumKit draw_kit(RandomStream& random) {
  DrumKit kit;
  kit.kick = {random.uniform(100, 220), random.uniform(40, 65), random.uniform(8, 25), random.uniform(0, 0.15), 120, 0};
  kit.snare = {random.uniform(180, 260),  random.uniform(140, 200), random.uniform(15, 35),
               random.uniform(0.5, 0.85), random.uniform(12, 30),   random.uniform(0.2, 0.7)};
  kit.hat = {8000, 6000, 200, 1, random.uniform(25, 110), random.uniform(0.8, 0.98)};
  kit.tom = {
      random.uniform(120, 320), random.uniform(70, 140), random.uniform(8, 18), random.uniform(0.05, 0.3), 60, 0.2};
  return kit;
}

void strike(std::span<float> mix, int sample_rate, const Drum& drum, double start_s, double velocity,
            RandomStream& random) {
  const double length_s = std::min(0.6, 6 / std::min(drum.tone_decay, drum.noise_decay));
  const auto [begin, count] = extent_of(mix, sample_rate, start_s, length_s);
  const double per_sample = 1.0 / sample_rate;
  const auto tone_fade = static_cast<float>(std::exp(-drum.tone_decay * per_sample));
  const auto noise_fade = static_cast<float>(std::exp(-drum.noise_decay * per_sample));
  auto tone = static_cast<float>(velocity * (1 - drum.noise));
  auto noise = static_cast<float>(velocity * drum.noise);
  double phase = 0;
  double above = drum.from_hz - drum.to_hz;
  float previous = 0;
  for (float& sample : mix.subspan(begin, count)) {
    const auto white = static_cast<float>(random.bits() >> 8U) * 0x1p-23F - 1;
    sample +=
        tone * std::sin(static_cast<float>(phase)) + noise * (white - static_cast<float>(drum.high_pass) * previous);
    previous = white;
    phase += kTwoPi * (drum.to_hz + above) * per_sample;
    above *= 1 - 25 * per_sample;
    tone *= tone_fade;
    noise *= noise_fade;
  }
}

void add_hall(std::span<float> mix, int sample_rate, double wet, double rt60_s, RandomStream& random) {
  std::array<Comb, 4> combs;
  for (Comb& comb : combs) {
    const double delay_s = random.uniform(0.029, 0.047);
    comb.line.assign(static_cast<std::size_t>(delay_s * sample_rate) + 1, 0.0F);
    comb.feedback = static_cast<float>(std::pow(10, -3 * delay_s / rt60_s));
  }
  std::array<AllPass, 2> diffusers;
  for (AllPass& diffuser : diffusers) {
    diffuser.line.assign(static_cast<std::size_t>(random.uniform(0.0015, 0.006) * sample_rate) + 1, 0.0F);
  }
  for (float& sample : mix) {
    float reverberant = 0;
    for (Comb& comb : combs) {
      reverberant += comb.next(sample);
    }
    for (AllPass& diffuser : diffusers) {
      reverberant = diffuser.next(reverberant);
    }
    sample += static_cast<float>(0.25 * wet) * reverberant;
  }
}

}  // namespace earmark::data
