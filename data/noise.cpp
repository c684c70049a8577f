#include "data/noise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/fft.h"
#include "kernels/parallel.h"
#include "kernels/tensor.h"

namespace earmark::data {
namespace {

double mean_square(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) {
    sum += static_cast<double>(v) * static_cast<double>(v);
  }
  return x.empty() ? 0 : sum / static_cast<double>(x.size());
}

void scale_to_unit(std::vector<float>& x) {
  const double power = mean_square(x);
  const auto scale = static_cast<float>(power > 0 ? 1 / std::sqrt(power) : 1);
  for (float& v : x) {
    v *= scale;
  }
}

// Speech without its pauses: 20 ms blocks more than 30 dB below the recording's mean are left out.
std::vector<float> without_pauses(std::span<const float> speech) {
  constexpr std::size_t kBlock = 320;
  const double threshold = 1e-3 * mean_square(speech);
  std::vector<float> out;
  for (std::size_t i = 0; i + kBlock <= speech.size(); i += kBlock) {
    const auto block = speech.subspan(i, kBlock);
    if (mean_square(block) > threshold) {
      out.insert(out.end(), block.begin(), block.end());
    }
  }
  return out;
}

struct Recordings {
  std::vector<std::vector<float>> samples;
  std::vector<std::string> names;
};

// All readable, audible sound files; the others go to `skipped`.
Recordings load_recordings(const std::filesystem::path& path, int sample_rate, std::vector<std::string>& skipped) {
  const std::vector<AudioFile> files = list_audio_files(path);
  std::vector<std::vector<float>> decoded(files.size());
  std::vector<std::string> reasons(files.size());
  parallel_for(static_cast<std::int64_t>(files.size()), [&](std::int64_t task) {
    const auto i = static_cast<std::size_t>(task);
    try {
      decoded[i] = decode_audio(files[i].path, sample_rate);
      reasons[i] = mean_square(decoded[i]) > 1e-10 ? "" : printable(files[i].path.string()) + ": silent";
    } catch (const Error& error) {
      reasons[i] = error.what();
    }
  });
  Recordings out;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (reasons[i].empty()) {
      out.samples.push_back(std::move(decoded[i]));
      out.names.push_back(files[i].name);
    } else {
      skipped.push_back(reasons[i]);
    }
  }
  check(!out.samples.empty(), printable(path.string()), ": no noise recording could be read",
        skipped.empty() ? "" : ": " + skipped.back());
  return out;
}

}  // namespace

std::string_view name_of(NoiseColor color) {
  constexpr std::array<std::string_view, 3> kNames = {"white", "pink", "brown"};
  return kNames.at(static_cast<std::size_t>(color));
}

// Random phases and amplitudes in frequency, shaped, and one inverse transform: exact spectra, and it loops seamlessly.
std::vector<float> colored_noise(NoiseColor color, std::int64_t samples, std::uint64_t seed, int sample_rate) {
  check(samples >= 1, "noise: expected at least one sample, got ", samples);
  constexpr std::int64_t kLargest = 1 << 18;
  constexpr double kLowest = 20;  // Hz
  const std::int64_t n = std::min(kLargest, kernels::good_fft_size(std::max<std::int64_t>(samples, 1024)));
  const double exponent = color == NoiseColor::white ? 0 : color == NoiseColor::pink ? -0.5 : -1;
  const Tensor spectrum = Tensor::zeros({n / 2 + 1, 2});
  const Tensor time({n});
  RandomStream random(seed, 0x6e6f697365 + static_cast<std::uint64_t>(color));
  float* bins = spectrum.mutable_data<float>();
  for (std::int64_t k = 1; k < n / 2; ++k) {
    const double hz = static_cast<double>(k) * sample_rate / static_cast<double>(n);
    const double gain = color != NoiseColor::white && hz < kLowest ? 0 : std::pow(hz / 1000, exponent);
    bins[2 * k] = static_cast<float>(gain * random.normal());
    bins[2 * k + 1] = static_cast<float>(gain * random.normal());
  }
  kernels::thread_real_fft(n).inverse(reinterpret_cast<std::complex<float>*>(bins), time.mutable_data<float>());
  std::vector<float> out(static_cast<std::size_t>(samples));
  for (std::int64_t i = 0; i < samples; ++i) {
    out[static_cast<std::size_t>(i)] = time.data<float>()[i % n];
  }
  scale_to_unit(out);
  return out;
}

std::vector<float> mix_babble(std::span<const std::vector<float>> speech, int speakers, std::int64_t samples,
                              std::uint64_t seed) {
  check(!speech.empty() && speakers >= 1, "babble: expected speech and at least one speaker");
  RandomStream random(seed, 0x626162626c65);
  std::vector<float> out(static_cast<std::size_t>(samples));
  for (int s = 0; s < speakers; ++s) {
    std::vector<float> voice;
    for (int empty = 0; voice.size() < out.size();) {
      std::vector<float> take = without_pauses(speech[random.below(speech.size())]);
      check(!take.empty() || ++empty < 1000, "babble: the speech recordings are silent or too short");
      scale_to_unit(take);
      // The first recording begins anywhere, so that speakers do not start together.
      const std::size_t from = voice.empty() && !take.empty() ? random.below(take.size()) : 0;
      voice.insert(voice.end(), take.begin() + static_cast<std::ptrdiff_t>(from), take.end());
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] += voice[i];
    }
  }
  scale_to_unit(out);
  return out;
}

void NoiseBank::add(std::span<const float> samples, std::string name) {
  check(!samples.empty(), "noise ", name, ": empty");
  float peak = 0;
  for (const float v : samples) {
    peak = std::max(peak, std::fabs(v));
  }
  check(peak > 0, "noise ", name, ": silent");
  std::vector<std::int16_t> pcm(samples.size());
  std::transform(samples.begin(), samples.end(), pcm.begin(), [peak](float v) { return to_int16(v / peak); });
  noises_.push_back({std::move(pcm), std::move(name)});
}

void NoiseBank::add_recordings(const std::filesystem::path& path, int sample_rate) {
  Recordings found = load_recordings(path, sample_rate, skipped_);
  for (std::size_t i = 0; i < found.samples.size(); ++i) {
    add(found.samples[i], std::move(found.names[i]));
  }
}

void NoiseBank::add_babble(const std::filesystem::path& path, int speakers, int takes, double seconds,
                           std::uint64_t seed, int sample_rate) {
  const Recordings found = load_recordings(path, sample_rate, skipped_);
  for (int take = 0; take < takes; ++take) {
    const auto samples = static_cast<std::int64_t>(seconds * sample_rate);
    const std::uint64_t take_seed = seed * 1000003U + static_cast<std::uint64_t>(take);
    add(mix_babble(found.samples, speakers, samples, take_seed), "babble " + std::to_string(take));
  }
}

void NoiseBank::add_colored(NoiseColor color, double seconds, std::uint64_t seed, int sample_rate) {
  add(colored_noise(color, static_cast<std::int64_t>(seconds * sample_rate), seed, sample_rate),
      std::string(name_of(color)));
}

NoiseBank::Cut NoiseBank::draw(RandomStream& random) const {
  check(!noises_.empty(), "noise: none to draw from");
  const std::uint64_t noise = random.below(noises_.size());
  return {static_cast<std::int64_t>(noise), static_cast<std::int64_t>(random.below(noises_[noise].samples.size()))};
}

void NoiseBank::copy(Cut cut, std::span<std::int16_t> out) const {
  const std::span<const std::int16_t> from = samples(cut.noise);
  auto position = static_cast<std::size_t>(cut.start) % from.size();
  while (!out.empty()) {
    const std::size_t count = std::min(out.size(), from.size() - position);
    const auto part = from.subspan(position, count);
    std::copy(part.begin(), part.end(), out.begin());
    out = out.subspan(count);
    position = 0;
  }
}

}  // namespace earmark::data
