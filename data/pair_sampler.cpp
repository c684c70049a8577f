#include "data/pair_sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <iterator>
#include <numeric>
#include <sstream>
#include <utility>

#include "data/permutation.h"
#include "kernels/error.h"
#include "kernels/maximum.h"
#include "kernels/random.h"

namespace earmark::data {
namespace {

// Streams of random numbers of one (seed, step, index): where from, and what is done to it.
constexpr std::uint64_t kDrawStream = 0x64726177;
constexpr std::uint64_t kShuffleStream = 0x73687566;
constexpr std::uint64_t kTrackStream = 0x7472616b;

std::uint64_t stream_of(std::uint64_t purpose, std::int64_t step) {
  return (purpose << 32U) + static_cast<std::uint64_t>(step);
}

// Sample i of a track continued by reflection, or silence far outside.
void copy_reflected(std::span<const std::int16_t> track, std::int64_t begin, std::span<std::int16_t> out) {
  const auto n = static_cast<std::int64_t>(track.size());
  const auto count = static_cast<std::int64_t>(out.size());
  if (begin >= 0 && begin + count <= n) {
    std::copy_n(track.begin() + begin, count, out.begin());
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = begin + i < 0 ? -(begin + i) : begin + i >= n ? 2 * (n - 1) - (begin + i) : begin + i;
    out[static_cast<std::size_t>(i)] = at >= 0 && at < n ? track[static_cast<std::size_t>(at)] : std::int16_t{0};
  }
}

// 0 to count - 1.
std::int64_t draw_below(std::int64_t count, RandomStream& random) {
  return static_cast<std::int64_t>(random.uniform() * static_cast<double>(count));
}

constexpr std::array kKinds = {DistortionKind::none, DistortionKind::noise, DistortionKind::reverb,
                               DistortionKind::noise_reverb};

// Positions of the origins of one kind.
std::vector<std::size_t> of_kind(std::span<const PairOrigin> origins, DistortionKind kind) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    if (origins[i].kind == kind) {
      out.push_back(i);
    }
  }
  return out;
}

// Of all views of a batch.
Tensor batch_maximum(const Tensor& anchors, const Tensor& heard) {
  const Tensor both({2}, DType::f32, anchors.device());
  kernels::maximum({anchors, both.slice(0, 1)});
  kernels::maximum({heard, both.slice(1, 2)});
  const Tensor out({1}, DType::f32, anchors.device());
  kernels::maximum({both, out});
  return out;
}

double pcm_mean_square(std::span<const std::int16_t> x) {
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
  check(options_.per_track >= 1, "training: expected at least one pair of each track, got ", options_.per_track);
  check(options_.alike >= 0 && options_.alike < options_.per_track,
        "training: expected fewer pairs alike (pairs.alike) than of each track (pairs.per_track: ", options_.per_track,
        "), got ", options_.alike);
  const double with_noise = options_.noise_probability + options_.both_probability;
  const double with_reverb = options_.reverb_probability + options_.both_probability;
  check(std::min({options_.noise_probability, options_.reverb_probability, options_.both_probability}) >= 0,
        "training: a probability below 0");
  check(with_noise == 0 || (noise_ && !noise_->empty()), "training: noise is asked for, but there is none");
  check(with_reverb == 0 || !rirs_.empty(), "training: reverberation is asked for, but there are no room responses");
  // Frames are centred: the first reaches n_fft / 2 back, the last as far past its centre.
  if (options_.rir_s > 0) {
    rirs_.shorten(std::max<std::int64_t>(1, std::llround(options_.rir_s * features_.sample_rate)));
  }
  window_.circular = options_.reverb == PairOptions::Reverb::circular;
  window_.context = window_.circular ? std::max<std::int64_t>(0, rirs_.longest() - 1) : features_.sample_rate;
  window_.margin_before = features_.n_fft / 2;
  window_.segment = features_.segment_samples();
  window_.margin_after = features_.n_fft / 2;
  if (with_reverb > 0) {
    rirs_.prepare(window_.total(), window_.context);
  }
  if (options_.alike > 0) {
    alike_ = std::make_unique<const AlikePlaces>(store_, features_);
  }
  std::int64_t places = 0;
  for (std::int64_t i = 0; i < store_->size(); ++i) {
    const auto samples = static_cast<std::int64_t>(store_->track(i).size());
    check(samples >= window_.segment, store_->file(i).name, ": shorter than a segment");
    places += samples - window_.segment + 1;
    ends_.push_back(places);
  }
}

std::int64_t PairSampler::steps_per_epoch() const {
  return std::max<std::int64_t>(1, store_->size() / tracks_per_step());
}

// Which track is the index-th of a step, for per_file: position step·n + index in an endless row of shuffled lists.
// With enough files an epoch drops what does not fill a batch, so that no batch holds one file twice.
std::int64_t PairSampler::track_of(std::int64_t step, std::int64_t index) const {
  const std::int64_t files = store_->size();
  const bool whole = files >= tracks_per_step();
  const std::int64_t position = step * tracks_per_step() + index;
  const std::int64_t epoch = whole ? step / steps_per_epoch() : position / files;
  const std::int64_t place = whole ? step % steps_per_epoch() * tracks_per_step() + index : position % files;
  return permuted(place, files, options_.seed ^ kShuffleStream, static_cast<std::uint64_t>(epoch));
}

// Places where an anchor may begin.
std::int64_t PairSampler::starts_in(std::int64_t track) const {
  return static_cast<std::int64_t>(store_->track(track).size()) - window_.segment + 1;
}

// Of uniform_time, a track is drawn by a place in it. Where it has no room for as many pairs as it should give, later
// attempts take any place.
void PairSampler::draw_place(std::int64_t step, std::int64_t index, int attempt, RandomStream& random,
                             PairOrigin& origin) const {
  const std::int64_t group = index / options_.per_track;
  if (options_.draws == PairOptions::Draws::per_file) {
    origin.track = track_of(step, group);
    origin.anchor_start = draw_below(starts_in(origin.track), random);
    return;
  }
  const auto track_at = [this](std::int64_t place) {
    return std::upper_bound(ends_.begin(), ends_.end(), place) - ends_.begin();
  };
  if (options_.per_track > 1 && attempt <= options_.redraws / 2) {
    RandomStream tracks(options_.seed, stream_of(kTrackStream, step), static_cast<std::uint64_t>(group));
    origin.track = track_at(draw_below(ends_.back(), tracks));
    origin.anchor_start = draw_below(starts_in(origin.track), random);
    return;
  }
  const std::int64_t place = draw_below(ends_.back(), random);
  origin.track = track_at(place);
  origin.anchor_start = place - (origin.track > 0 ? ends_[static_cast<std::size_t>(origin.track - 1)] : 0);
}

PairOrigin PairSampler::draw(std::int64_t step, std::int64_t index, int attempt, const Place* place) const {
  RandomStream random(options_.seed, stream_of(kDrawStream, step),
                      static_cast<std::uint64_t>(index) << 16U | static_cast<std::uint64_t>(attempt));
  PairOrigin origin;
  if (place != nullptr) {
    origin.track = place->track;
    origin.anchor_start = place->start;
  } else {
    draw_place(step, index, attempt, random, origin);
  }
  const std::int64_t last = starts_in(origin.track) - 1;
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

// How near to each other anchors of a track may begin.
std::int64_t PairSampler::samples_apart() const {
  return options_.apart_s > 0 ? static_cast<std::int64_t>(std::ceil(options_.apart_s * features_.sample_rate))
                              : window_.segment;
}

std::vector<PairSampler::Place> PairSampler::places_like(const PairOrigin& origin) const {
  std::vector<Place> out;
  for (const std::int64_t start : alike_->find(origin.track, origin.anchor_start, options_.alike, samples_apart())) {
    out.push_back({origin.track, start});
  }
  return out;
}

// Anchors that are silent, or too near an earlier one of the batch (they would be taken for negatives of each other),
// are drawn again.
std::vector<PairOrigin> PairSampler::plan(std::int64_t step) const {
  std::vector<PairOrigin> origins;
  std::vector<Place> alike;  // to the first pair of its track
  for (std::int64_t index = 0; index < options_.pairs; ++index) {
    const auto of_track = static_cast<std::size_t>(index % options_.per_track);
    const bool is_alike = of_track >= 1 && of_track <= alike.size();
    PairOrigin origin = draw(step, index, 0, is_alike ? &alike[of_track - 1] : nullptr);
    for (int attempt = 1; attempt <= options_.redraws && !is_good(origin, origins); ++attempt) {
      origin = draw(step, index, attempt);
    }
    origins.push_back(origin);
    if (of_track == 0 && alike_) {
      alike = places_like(origin);
    }
  }
  return origins;
}

bool PairSampler::is_good(const PairOrigin& origin, std::span<const PairOrigin> earlier) const {
  const auto segment =
      store_->track(origin.track)
          .subspan(static_cast<std::size_t>(origin.anchor_start), static_cast<std::size_t>(window_.segment));
  const std::int64_t apart = samples_apart();
  const bool too_near = std::any_of(earlier.begin(), earlier.end(), [&](const PairOrigin& other) {
    return other.track == origin.track && std::abs(other.anchor_start - origin.anchor_start) < apart;
  });
  return !too_near && pcm_mean_square(segment) > options_.silence_mean_square;
}

// Where reverberation goes in a circle, what follows the context in x becomes its beginning and its end: the kept part,
// turned so that the response's direct path falls on its first sample, behind its own end.
void PairSampler::turn(const PairOrigin& origin, std::span<std::int16_t> x) const {
  const std::int64_t context = window_.context;
  const std::vector<std::int16_t> kept(x.begin() + context, x.end());
  const std::int64_t n = window_.kept();
  const std::int64_t first = (rirs_.rir(origin.rir).delay - context) % n + n;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = kept[static_cast<std::size_t>((first + static_cast<std::int64_t>(i)) % n)];
  }
}

void PairSampler::copy_music(const PairOrigin& origin, std::span<std::int16_t> out) const {
  const std::int64_t before =
      static_cast<std::int64_t>(out.size()) - window_.kept();  // the context, where it is needed
  copy_reflected(store_->track(origin.track), origin.positive_start - window_.margin_before - before, out);
  if (window_.circular && has_reverb(origin.kind)) {
    turn(origin, out);
  }
}

void PairSampler::copy_noise(const PairOrigin& origin, std::span<std::int16_t> out) const {
  const std::int64_t before = static_cast<std::int64_t>(out.size()) - window_.kept();
  noise_->copy({origin.noise.noise, origin.noise.start + window_.context - before}, out);
  if (window_.circular && has_reverb(origin.kind)) {
    turn(origin, out);
  }
}

// What pairs are made from: their anchors, then, kind by kind, the music of all positives and the noise of all.
Pieces PairSampler::gather(std::span<const PairOrigin> origins, Device device) const {
  std::int64_t samples = static_cast<std::int64_t>(origins.size()) * window_.kept();
  for (const PairOrigin& origin : origins) {
    samples += window_.given(origin.kind) * (has_noise(origin.kind) ? 2 : 1);
  }
  Pieces pieces(samples, device);
  for (const PairOrigin& origin : origins) {
    copy_reflected(store_->track(origin.track), origin.anchor_start - window_.margin_before,
                   pieces.add(window_.kept()));
  }
  for (const DistortionKind kind : kKinds) {
    for (const std::size_t i : of_kind(origins, kind)) {
      copy_music(origins[i], pieces.add(window_.given(kind)));
    }
    for (const std::size_t i : has_noise(kind) ? of_kind(origins, kind) : std::vector<std::size_t>()) {
      copy_noise(origins[i], pieces.add(window_.given(kind)));
    }
  }
  pieces.send();
  return pieces;
}

/// Spectrograms (n, T, F) of pairs. Those of positives lie in an order of their own: that of pair i is row rows[i].
struct PairSampler::Spectra {
  Tensor anchors;
  Tensor heard;
  std::span<std::int64_t> rows;

  Spectra slice(std::int64_t begin, std::int64_t end) const {
    return {anchors.slice(begin, end), heard.slice(begin, end),
            rows.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))};
  }
};

void PairSampler::make_spectra(std::int64_t step, std::int64_t first, std::span<const PairOrigin> origins,
                               const Spectra& out) const {
  const Device device = out.anchors.device();
  Pieces pieces = gather(origins, device);
  const Tensor anchors = pieces.take(out.anchors.dim(0), window_.kept());
  const Tensor heard = empty_like(anchors);
  std::vector<std::int64_t> order;  // row i of `heard` is positive order[i] of the step
  for (const DistortionKind kind : kKinds) {
    DistortRows group;
    group.kind = kind;
    const auto begin = static_cast<std::int64_t>(order.size());
    for (const std::size_t i : of_kind(origins, kind)) {
      out.rows[i] = static_cast<std::int64_t>(order.size());
      order.push_back(first + static_cast<std::int64_t>(i));
      group.snr_db.push_back(static_cast<float>(origins[i].snr_db));
      if (has_reverb(kind)) {
        group.rooms.push_back(rirs_.response(origins[i].rir, device));
        group.rooms.back().delay = window_.circular ? 0 : group.rooms.back().delay;
      }
    }
    const auto end = static_cast<std::int64_t>(order.size());
    if (begin < end) {
      group.music = pieces.take(end - begin, window_.given(kind));
      group.noise = has_noise(kind) ? pieces.take(end - begin, window_.given(kind)) : Tensor();
      group.out = heard.slice(begin, end);
      distort(group, window_);
    }
  }
  augment_waveforms(options_.augment, options_.seed, step, order, features_.sample_rate, heard);
  kernels::log_mel(features_, {anchors, out.anchors, window_.margin_before});
  kernels::log_mel(features_, {heard, out.heard, window_.margin_before});
}

void PairSampler::make_segments(std::int64_t step, std::int64_t first, const Spectra& spectra, const PairRange& wanted,
                                const Batch& to) const {
  const std::int64_t count = wanted.end - wanted.begin;
  const Spectra own = spectra.slice(wanted.begin - first, wanted.end - first);
  std::vector<std::int64_t> first_frames;
  std::transform(own.rows.begin(), own.rows.end(), std::back_inserter(first_frames),
                 [&](std::int64_t row) { return row * features_.frames; });
  const std::int64_t heard_frames = spectra.heard.dim(0) * features_.frames;
  kernels::CutSegments anchors{own.anchors.reshape({count * features_.frames, features_.mel_bands}), to.clean, 0,
                               features_.frames};
  kernels::CutSegments positives{spectra.heard.reshape({heard_frames, features_.mel_bands}), to.distorted};
  positives.first_frames = first_frames;
  if (features_.normalization == FeatureOptions::Normalization::batch_maximum) {
    anchors.maximum = positives.maximum = batch_maximum(spectra.anchors, spectra.heard);
  }
  kernels::cut_segments(features_, anchors);
  kernels::cut_segments(features_, positives);
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), wanted.begin);
  augment_features(options_.augment, options_.seed, step, View::positive, indices, to.distorted);
  if (options_.augment.mask_anchors) {
    augment_features(options_.augment, options_.seed, step, View::anchor, indices, to.clean);
  }
}

Batch PairSampler::batch(std::int64_t step, Device device) const { return batch(step, {0, options_.pairs}, device); }

Batch PairSampler::batch(std::int64_t step, const PairRange& pairs, Device device) const {
  check(step >= 0, "training: step ", step);
  check(pairs.begin >= 0 && pairs.begin < pairs.end && pairs.end <= options_.pairs, "training: pairs ", pairs.begin,
        " to ", pairs.end, " of ", options_.pairs);
  Batch batch;
  batch.step = step;
  batch.origins = plan(step);
  const Shape shape{pairs.end - pairs.begin, features_.mel_bands, features_.frames, 1};
  batch.clean = Tensor(shape, DType::f32, device);
  batch.distorted = Tensor(shape, DType::f32, device);
  // One pair at a time stays in a processor's cache; a GPU wants them all. The maximum of a batch needs all of it.
  const bool on_cpu = device.backend == Backend::cpu;
  const bool of_batch = features_.normalization == FeatureOptions::Normalization::batch_maximum;
  const PairRange heard = of_batch ? PairRange{0, options_.pairs} : pairs;
  const std::int64_t heard_at_once = on_cpu ? 1 : heard.end - heard.begin;
  const std::int64_t cut_at_once = !on_cpu || of_batch ? heard.end - heard.begin : 1;
  const Shape spectra_shape{cut_at_once, features_.frames, features_.mel_bands};
  std::vector<std::int64_t> rows(static_cast<std::size_t>(cut_at_once));
  const Spectra spectra{Tensor(spectra_shape, DType::f32, device), Tensor(spectra_shape, DType::f32, device), rows};
  for (std::int64_t first = heard.begin; first < heard.end; first += cut_at_once) {
    for (std::int64_t i = 0; i < cut_at_once; i += heard_at_once) {
      make_spectra(step, first + i,
                   std::span(batch.origins)
                       .subspan(static_cast<std::size_t>(first + i), static_cast<std::size_t>(heard_at_once)),
                   spectra.slice(i, i + heard_at_once));
      rows[static_cast<std::size_t>(i)] += on_cpu ? i : 0;
    }
    const PairRange wanted = of_batch ? pairs : PairRange{first, first + cut_at_once};
    make_segments(step, first, spectra, wanted, batch.part(wanted.begin - pairs.begin, wanted.end - pairs.begin));
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
