#include "data/pair_sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <utility>

#include "data/permutation.h"
#include "data/wav.h"
#include "kernels/error.h"
#include "kernels/random.h"

namespace earmark::data {
namespace {

// Streams of random numbers of one (seed, step, index): where from, and what is done to it.
constexpr std::uint64_t kDrawStream = 0x64726177;
constexpr std::uint64_t kShuffleStream = 0x73687566;

std::uint64_t stream_of(std::uint64_t purpose, std::int64_t step) {
  return (purpose << 32U) + static_cast<std::uint64_t>(step);
}

// Sample i of a track continued by reflection, or silence far outside.
void copy_reflected(std::span<const std::int16_t> track, std::int64_t begin, std::span<float> out) {
  const auto n = static_cast<std::int64_t>(track.size());
  const auto count = static_cast<std::int64_t>(out.size());
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = begin + i < 0 ? -(begin + i) : begin + i >= n ? 2 * (n - 1) - (begin + i) : begin + i;
    out[static_cast<std::size_t>(i)] = at >= 0 && at < n ? from_int16(track[static_cast<std::size_t>(at)]) : 0.0F;
  }
}

double mean_square(std::span<const std::int16_t> x) {
  std::int64_t sum = 0;
  for (const std::int16_t v : x) {
    sum += static_cast<std::int32_t>(v) * static_cast<std::int32_t>(v);
  }
  return static_cast<double>(sum) / (32767.0 * 32767.0) / static_cast<double>(x.size());
}

}  // namespace

PairSampler::PairSampler(std::shared_ptr<const PcmStore> store, std::shared_ptr<const NoiseBank> noise, RirBank rirs,
                         FeatureOptions features, PairOptions options)
    : store_(std::move(store)),
      noise_(std::move(noise)),
      rirs_(std::move(rirs)),
      features_(features),
      options_(options) {
  check_feature_options(features_);
  check(store_ && store_->size() > 0, "training: no usable music");
  check(store_->sample_rate() == features_.sample_rate, "training: music at ", store_->sample_rate(),
        " Hz, features at ", features_.sample_rate, " Hz");
  check(options_.pairs >= 1, "training: expected at least one pair, got ", options_.pairs);
  const double with_noise = options_.noise_probability + options_.both_probability;
  const double with_reverb = options_.reverb_probability + options_.both_probability;
  check(std::min({options_.noise_probability, options_.reverb_probability, options_.both_probability}) >= 0,
        "training: a probability below 0");
  check(with_noise == 0 || (noise_ && !noise_->empty()), "training: noise is asked for, but there is none");
  check(with_reverb == 0 || !rirs_.empty(), "training: reverberation is asked for, but there are no room responses");
  // Frames are centred: the first reaches n_fft / 2 back, the last as far past its centre.
  window_.context = features_.sample_rate;
  window_.margin_before = features_.n_fft / 2;
  window_.segment = features_.segment_samples();
  window_.margin_after = features_.n_fft / 2;
  if (with_reverb > 0) {
    rirs_.prepare(window_.total(), window_.context);
  }
  std::int64_t places = 0;
  for (std::int64_t i = 0; i < store_->size(); ++i) {
    const auto samples = static_cast<std::int64_t>(store_->track(i).size());
    check(samples >= window_.segment, store_->file(i).name, ": shorter than a segment");
    places += samples - window_.segment + 1;
    ends_.push_back(places);
  }
}

std::int64_t PairSampler::steps_per_epoch() const { return std::max<std::int64_t>(1, store_->size() / options_.pairs); }

// Which track, for per_file: position step·N + index in an endless row of shuffled lists. With enough files an epoch
// drops what does not fill a batch, so that no batch holds one file twice.
std::int64_t PairSampler::track_of(std::int64_t step, std::int64_t index) const {
  const std::int64_t files = store_->size();
  const bool whole = files >= options_.pairs;
  const std::int64_t position = step * options_.pairs + index;
  const std::int64_t epoch = whole ? step / steps_per_epoch() : position / files;
  const std::int64_t place = whole ? step % steps_per_epoch() * options_.pairs + index : position % files;
  return permuted(place, files, options_.seed ^ kShuffleStream, static_cast<std::uint64_t>(epoch));
}

PairOrigin PairSampler::draw(std::int64_t step, std::int64_t index, int attempt) const {
  RandomStream random(options_.seed, stream_of(kDrawStream, step),
                      static_cast<std::uint64_t>(index) << 16U | static_cast<std::uint64_t>(attempt));
  PairOrigin origin;
  if (options_.draws == PairOptions::Draws::per_file) {
    origin.track = track_of(step, index);
    const auto samples = static_cast<std::int64_t>(store_->track(origin.track).size());
    origin.anchor_start =
        static_cast<std::int64_t>(random.uniform() * static_cast<double>(samples - window_.segment + 1));
  } else {
    const auto place = static_cast<std::int64_t>(random.uniform() * static_cast<double>(ends_.back()));
    origin.track = std::upper_bound(ends_.begin(), ends_.end(), place) - ends_.begin();
    origin.anchor_start = place - (origin.track > 0 ? ends_[static_cast<std::size_t>(origin.track - 1)] : 0);
  }
  const std::int64_t last = static_cast<std::int64_t>(store_->track(origin.track).size()) - window_.segment;
  const double shift = random.uniform(-options_.shift_s, options_.shift_s) * features_.sample_rate;
  origin.positive_start = std::clamp<std::int64_t>(origin.anchor_start + std::lround(shift), 0, last);
  const double all = options_.noise_probability + options_.reverb_probability + options_.both_probability;
  const double which = random.uniform() * all;
  if (all > 0) {
    origin.kind = which < options_.noise_probability                                 ? DistortionKind::noise
                  : which < options_.noise_probability + options_.reverb_probability ? DistortionKind::reverb
                                                                                     : DistortionKind::noise_reverb;
  }
  origin.snr_db = random.uniform(options_.snr_min_db, options_.snr_max_db);
  if (has_noise(origin.kind)) {
    origin.noise = noise_->draw(random);
  }
  if (has_reverb(origin.kind)) {
    origin.rir = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(rirs_.size())));
  }
  return origin;
}

// Anchors that are silent, or that overlap an earlier one of the batch (they would be taken for negatives of each
// other), are drawn again.
std::vector<PairOrigin> PairSampler::plan(std::int64_t step) const {
  std::vector<PairOrigin> origins;
  for (std::int64_t index = 0; index < options_.pairs; ++index) {
    PairOrigin origin = draw(step, index, 0);
    for (int attempt = 1; attempt <= options_.redraws && !is_good(origin, origins); ++attempt) {
      origin = draw(step, index, attempt);
    }
    origins.push_back(origin);
  }
  return origins;
}

bool PairSampler::is_good(const PairOrigin& origin, std::span<const PairOrigin> earlier) const {
  const auto segment =
      store_->track(origin.track)
          .subspan(static_cast<std::size_t>(origin.anchor_start), static_cast<std::size_t>(window_.segment));
  const bool overlaps = std::any_of(earlier.begin(), earlier.end(), [&](const PairOrigin& other) {
    return other.track == origin.track && std::abs(other.anchor_start - origin.anchor_start) < window_.segment;
  });
  return !overlaps && mean_square(segment) > options_.silence_mean_square;
}

void PairSampler::features_of(const Tensor& waveform, const Tensor& out) const {
  const Tensor frames({1, features_.frames, features_.mel_bands});
  kernels::log_mel(features_, {waveform, frames, window_.margin_before});
  kernels::cut_segments(features_, {frames.reshape({features_.frames, features_.mel_bands}), out, 0, 1});
}

void PairSampler::anchor(const PairOrigin& origin, const Tensor& out) const {
  const Tensor waveform({1, window_.kept()});
  copy_reflected(store_->track(origin.track), origin.anchor_start - window_.margin_before,
                 {waveform.mutable_data<float>(), static_cast<std::size_t>(window_.kept())});
  features_of(waveform, out);
}

void PairSampler::positive(const PairOrigin& origin, std::int64_t step, std::int64_t index, const Tensor& out) const {
  const auto total = static_cast<std::size_t>(window_.total());
  const auto kept = static_cast<std::size_t>(window_.kept());
  const Tensor music({1, window_.total()});
  const Tensor noise({1, window_.total()});
  const Tensor heard({1, window_.kept()});
  const std::span<float> music_samples(music.mutable_data<float>(), total);
  const std::span<float> noise_samples(noise.mutable_data<float>(), has_noise(origin.kind) ? total : 0);
  const std::span<float> heard_samples(heard.mutable_data<float>(), kept);
  copy_reflected(store_->track(origin.track), origin.positive_start - window_.margin_before - window_.context,
                 music_samples);
  if (has_noise(origin.kind)) {
    noise_->copy(origin.noise, noise_samples);
  }
  const bool reverb = has_reverb(origin.kind);
  distort(music_samples, noise_samples,
          {origin.kind, origin.snr_db, reverb ? &rirs_.rir(origin.rir) : nullptr,
           reverb ? &rirs_.spectrum(origin.rir) : nullptr},
          window_, heard_samples);
  augment_waveform(options_.augment, options_.seed, step, index, features_.sample_rate, heard_samples);
  features_of(heard, out);
  augment_features(options_.augment, options_.seed, step, index, out);
}

Batch PairSampler::batch(std::int64_t step) const {
  check(step >= 0, "training: step ", step);
  Batch batch;
  batch.step = step;
  batch.origins = plan(step);
  const Shape shape{options_.pairs, features_.mel_bands, features_.frames, 1};
  batch.clean = Tensor(shape);
  batch.distorted = Tensor(shape);
  for (std::int64_t i = 0; i < options_.pairs; ++i) {
    const PairOrigin& origin = batch.origins[static_cast<std::size_t>(i)];
    anchor(origin, batch.clean.slice(i, i + 1));
    positive(origin, step, i, batch.distorted.slice(i, i + 1));
  }
  return batch;
}

std::string PairSampler::describe(const PairOrigin& origin) const {
  std::ostringstream out;
  out << printable(store_->file(origin.track).path.string()) << " at " << std::fixed << std::setprecision(2)
      << static_cast<double>(origin.anchor_start) / features_.sample_rate << " s, " << name_of(origin.kind);
  if (has_noise(origin.kind)) {
    out << ", " << noise_->name(origin.noise.noise) << " at " << std::setprecision(1) << origin.snr_db << " dB";
  }
  if (has_reverb(origin.kind)) {
    out << ", " << rirs_.rir(origin.rir).name;
  }
  return out.str();
}

}  // namespace earmark::data
