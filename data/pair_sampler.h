// Training pairs (method: Singh et al., ISMIR 2022): a random segment of a track, and the same shifted by up to ±50 ms
// and distorted by noise, reverberation or both. A batch is a pure function of (seed, step): workers and resuming do
// not change it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/alike_places.h"
#include "data/augment.h"
#include "data/distort.h"
#include "data/noise.h"
#include "data/pcm_store.h"
#include "data/pieces.h"
#include "data/rir.h"
#include "kernels/random.h"
#include "kernels/spectrogram.h"
#include "kernels/tensor.h"

namespace earmark::data {

struct PairOptions {
  /// per_file: one random segment per file and epoch, files shuffled anew every epoch (the paper). uniform_time: every
  /// moment of the collection equally likely.
  enum class Draws { per_file, uniform_time };

  int pairs = 64;  ///< N
  std::uint64_t seed = 0;
  Draws draws = Draws::per_file;
  /// So many pairs of a batch come from one track, and of the last track what is left: places of the same music are
  /// harder to tell apart than other music.
  int per_track = 1;
  /// Of these, so many are at the places that sound most like the first one (alike_places.h). Less than `per_track`.
  int alike = 0;
  double apart_s = 0;     ///< Anchors of a batch lie at least so far apart in a track; 0: a segment's length.
  double shift_s = 0.05;  ///< The positive's shift is uniform within ± this.
  double silence_mean_square = 1e-4;  ///< Anchors at or below are redrawn, at most `redraws` times.
  int redraws = 20;
  double noise_probability = 1.0 / 3;  ///< The three are normalised to sum 1; all 0: undistorted positives.
  double reverb_probability = 1.0 / 3;
  double both_probability = 1.0 / 3;
  double snr_min_db = 0;
  double snr_max_db = 20;
  AugmentOptions augment{};  ///< All off.
  /// linear: with a second of context, then noise through the same response (the paper). circular: noise first, then
  /// the segment convolved in a circle (Chang et al., ICASSP 2021, and their code); see DistortWindow.
  enum class Reverb { linear, circular };
  Reverb reverb = Reverb::linear;
  double rir_s = 0;  ///< Responses are cut off so long after their direct path; 0: whole.
};

/// Where a pair comes from.
struct PairOrigin {
  std::int64_t track = 0;
  std::int64_t anchor_start = 0;  ///< Samples from the track's beginning.
  std::int64_t positive_start = 0;
  DistortionKind kind = DistortionKind::none;
  double snr_db = 0;
  NoiseBank::Cut noise;
  std::int64_t rir = -1;
};

struct Batch {
  std::int64_t step = 0;
  Tensor clean;                     ///< (N, F, T, 1) f32
  Tensor distorted;                 ///< (N, F, T, 1) f32
  std::vector<PairOrigin> origins;  ///< Of all N pairs of the step, also where only some of them were made.

  /// Views [begin, end) of its own, sharing memory; without origins.
  Batch part(std::int64_t begin, std::int64_t end) const {
    return {step, clean.slice(begin, end), distorted.slice(begin, end), {}};
  }
};

/// Pairs [begin, end) of every batch.
struct PairRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

class PairSampler {
 public:
  /// Throws Error when the store is empty, or a probability asks for noise or reverb and there is none.
  PairSampler(std::shared_ptr<const PcmStore> store, std::shared_ptr<const NoiseBank> noise, RirBank rirs,
              FeatureOptions features, PairOptions options);

  /// The batch of one step, made on `device`: what is random is drawn by the host, which gathers the pieces of sound;
  /// all that is computed is computed there, on the calling thread's current stream. Thread-safe.
  Batch batch(std::int64_t step, Device device = {}) const;
  /// Those pairs of it alone, (end - begin, F, T, 1), bit for bit: what one rank of several trains on. Throws Error
  /// where `pairs` is empty or reaches outside the batch.
  Batch batch(std::int64_t step, const PairRange& pairs, Device device) const;
  /// Steps in which every file is drawn about once.
  std::int64_t steps_per_epoch() const;
  /// "song.ogg at 12.34 s, noise_reverb 5.0 dB, room 17": for messages.
  std::string describe(const PairOrigin& origin) const;
  const PairOptions& options() const { return options_; }
  const FeatureOptions& features() const { return features_; }
  const PcmStore& store() const { return *store_; }

 private:
  std::vector<PairOrigin> plan(std::int64_t step) const;
  struct Place {
    std::int64_t track = 0;
    std::int64_t start = 0;
  };
  /// At `place`, where given.
  PairOrigin draw(std::int64_t step, std::int64_t index, int attempt, const Place* place = nullptr) const;
  std::vector<Place> places_like(const PairOrigin& origin) const;
  std::int64_t samples_apart() const;
  void draw_place(std::int64_t step, std::int64_t index, int attempt, RandomStream& random, PairOrigin& origin) const;
  std::int64_t tracks_per_step() const { return (options_.pairs + options_.per_track - 1) / options_.per_track; }
  std::int64_t track_of(std::int64_t step, std::int64_t index) const;
  std::int64_t starts_in(std::int64_t track) const;
  bool is_good(const PairOrigin& origin, std::span<const PairOrigin> earlier) const;
  Pieces gather(std::span<const PairOrigin> origins, Device device) const;
  /// `out` = the samples that a positive, and its noise, are made of.
  void copy_music(const PairOrigin& origin, std::span<std::int16_t> out) const;
  void copy_noise(const PairOrigin& origin, std::span<std::int16_t> out) const;
  void turn(const PairOrigin& origin, std::span<std::int16_t> x) const;
  struct Spectra;
  /// Spectrograms of pairs `first` and so on of a step.
  void make_spectra(std::int64_t step, std::int64_t first, std::span<const PairOrigin> origins,
                    const Spectra& out) const;
  /// The segments of pairs `wanted` of a step, from spectra that begin with those of pair `first`.
  void make_segments(std::int64_t step, std::int64_t first, const Spectra& spectra, const PairRange& wanted,
                     const Batch& to) const;

  std::shared_ptr<const PcmStore> store_;
  std::shared_ptr<const NoiseBank> noise_;
  RirBank rirs_;
  FeatureOptions features_;
  PairOptions options_;
  DistortWindow window_;
  std::unique_ptr<const AlikePlaces> alike_;  // where some are asked for
  std::vector<std::int64_t> ends_;            // cumulative numbers of possible anchor starts, for uniform_time
};

}  // namespace earmark::data
