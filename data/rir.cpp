#include "data/rir.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "data/audio_files.h"
#include "data/decode.h"
#include "kernels/error.h"

namespace earmark::data {
namespace {

std::size_t direct_path(std::span<const float> rir) {
  const auto louder = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<std::size_t>(std::max_element(rir.begin(), rir.end(), louder) - rir.begin());
}

// Schroeder's backward integral in dB, 0 at the beginning.
std::vector<double> decay_curve(std::span<const float> rir) {
  std::vector<double> curve(rir.size());
  double sum = 0;
  for (std::size_t i = rir.size(); i-- > 0;) {
    sum += static_cast<double>(rir[i]) * static_cast<double>(rir[i]);
    curve[i] = sum;
  }
  for (double& v : curve) {
    v = 10 * std::log10(std::max(v, 1e-300) / sum);
  }
  return curve;
}

// Slope of the least-squares line through values[first, last), per sample.
double slope(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0;
  for (const double v : values) {
    mean += v / n;
  }
  double product = 0;
  double square = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(i) - (n - 1) / 2;
    product += x * (values[i] - mean);
    square += x * x;
  }
  return product / square;
}

}  // namespace

double measure_rt60(std::span<const float> rir, int sample_rate, double range_db) {
  check(std::any_of(rir.begin(), rir.end(), [](float x) { return x != 0; }), "room response: silent");
  const std::vector<double> curve = decay_curve(rir);
  constexpr double kStart = -5;
  const auto below = [&](double level) {
    return static_cast<std::size_t>(std::find_if(curve.begin(), curve.end(), [=](double v) { return v <= level; }) -
                                    curve.begin());
  };
  const std::size_t first = below(kStart);
  const std::size_t last = below(kStart - range_db);
  check(last < curve.size() && last > first + 1, "room response: does not decay by ", range_db - kStart, " dB");
  return -60 / slope(std::span(curve).subspan(first, last - first)) / sample_rate;
}

double direct_to_reverberant_db(std::span<const float> rir, int sample_rate) {
  constexpr double kDirectSeconds = 0.0025;
  const std::size_t end =
      std::min(rir.size(), direct_path(rir) + static_cast<std::size_t>(std::lround(kDirectSeconds * sample_rate)) + 1);
  const auto energy = [](std::span<const float> x) {
    double sum = 0;
    for (const float v : x) {
      sum += static_cast<double>(v) * static_cast<double>(v);
    }
    return sum;
  };
  return 10 * std::log10(energy(rir.first(end)) / std::max(energy(rir.subspan(end)), 1e-300));
}

Rir make_rir(std::vector<float> samples, std::string name) {
  check(std::any_of(samples.begin(), samples.end(), [](float x) { return x != 0; }), name, ": a silent room response");
  const auto delay = static_cast<std::int64_t>(direct_path(samples));
  return {std::move(samples), std::move(name), delay};
}

Rir load_rir(const std::filesystem::path& path, int sample_rate) {
  return make_rir(decode_audio(path, sample_rate, Channel::left), printable(path.string()));
}

void RirBank::add_folder(const std::filesystem::path& path, int sample_rate) {
  const std::size_t before = rirs_.size();
  const std::size_t skipped_before = skipped_.size();
  for (const AudioFile& file : list_audio_files(path)) {
    try {
      rirs_.push_back(load_rir(file.path, sample_rate));
    } catch (const Error& error) {
      skipped_.emplace_back(error.what());
    }
  }
  check(rirs_.size() > before, printable(path.string()),
        ": no room response could be read: ", skipped_.size() > skipped_before ? skipped_.back() : "no sound files");
}

/// Spectra on GPUs, by their number.
struct RirBank::Copies {
  std::mutex mutex;
  std::map<int, std::vector<Tensor>> spectra;
};

void RirBank::shorten(std::int64_t samples) {
  for (Rir& r : rirs_) {
    r.samples.resize(std::min(r.samples.size(), static_cast<std::size_t>(r.delay + samples)));
  }
}

std::int64_t RirBank::longest() const {
  std::size_t longest = 0;
  for (const Rir& r : rirs_) {
    longest = std::max(longest, r.samples.size());
  }
  return static_cast<std::int64_t>(longest);
}

void RirBank::prepare(std::int64_t samples, std::int64_t skip) {
  spectra_.clear();
  copies_ = std::make_shared<Copies>();
  for (const Rir& r : rirs_) {
    const auto length = static_cast<std::int64_t>(r.samples.size());
    spectra_.push_back(kernels::rir_spectrum(r.samples, kernels::reverb_fft_size(samples, skip, length)));
  }
}

const Tensor& RirBank::spectrum(std::int64_t i) const {
  check(spectra_.size() == rirs_.size(), "room responses: prepare() comes first");
  return spectra_.at(static_cast<std::size_t>(i));
}

kernels::RoomResponse RirBank::response(std::int64_t i, Device device) const {
  const Rir& wanted = rir(i);
  kernels::RoomResponse out{spectrum(i), wanted.delay, static_cast<std::int64_t>(wanted.samples.size())};
  if (device != Device{}) {
    const std::scoped_lock lock(copies_->mutex);
    std::vector<Tensor>& there = copies_->spectra[device.index];
    if (there.empty()) {
      std::transform(spectra_.begin(), spectra_.end(), std::back_inserter(there),
                     [&](const Tensor& here) { return here.to(device); });
    }
    out.spectrum = there.at(static_cast<std::size_t>(i));
  }
  return out;
}

}  // namespace earmark::data
