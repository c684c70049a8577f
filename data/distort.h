// How clean music becomes a recording in a noisy room: the one implementation behind training pairs and query sets.
//   music and noise come with `context` samples before the part that is kept, so that tails of what sounded earlier
//   are in the reverberation; both go through the same response; then they are mixed at the wanted ratio, measured
//   between what is actually heard (reverberant music against reverberant noise) over the segment.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/rir.h"

namespace earmark::data {

enum class DistortionKind { none, noise, reverb, noise_reverb };
std::string_view name_of(DistortionKind kind);  ///< "none", "noise", "reverb", "noise_reverb"
inline bool has_noise(DistortionKind kind) {
  return kind == DistortionKind::noise || kind == DistortionKind::noise_reverb;
}
inline bool has_reverb(DistortionKind kind) {
  return kind == DistortionKind::reverb || kind == DistortionKind::noise_reverb;
}

inline constexpr std::int64_t kReverbContextSamples = 16000;  ///< 1 s at 16 kHz, before the kept part.

/// The parts of a waveform: context (dropped) | margin | segment | margin.
struct DistortWindow {
  std::int64_t context = kReverbContextSamples;
  std::int64_t margin_before =
      0;  ///< Kept, but outside the measured segment: what the spectrogram's windows reach into.
  std::int64_t segment = 0;
  std::int64_t margin_after = 0;
  /// Reverberation in a circle (Chang et al., ICASSP 2021, and their code): what is heard before the kept part is its
  /// own end, `context` samples of it; noise is mixed in first, at its ratio over the kept part, and goes through the
  /// response with the music.
  bool circular = false;
  std::int64_t kept() const { return margin_before + segment + margin_after; }
  std::int64_t total() const { return context + kept(); }
  /// What distorting needs: the context matters to reverberation alone.
  std::int64_t given(DistortionKind kind) const { return has_reverb(kind) ? total() : kept(); }
};

/// Convolves with a response, aligned to its direct path, and drops the context: (total) → (kept). `spectrum` may be
/// given where it has been prepared for this length. The result's largest absolute sample is 1.
void reverberate(std::span<const float> music, const Rir& rir, const DistortWindow& window, std::span<float> out,
                 const Tensor* spectrum = nullptr);
/// Adds `noise` to `signal` (both kept() long) at `snr_db` over the segment.
void mix_at_snr(std::span<float> signal, std::span<const float> noise, double snr_db, const DistortWindow& window);

struct Distortion {
  DistortionKind kind = DistortionKind::none;
  double snr_db = 0;         ///< For kinds with noise.
  const Rir* rir = nullptr;  ///< For kinds with reverb.
  const Tensor* spectrum = nullptr;
};
/// The whole chain: `music` and, for kinds with noise, `noise` (total() each) to `out` (kept()).
void distort(std::span<const float> music, std::span<const float> noise, const Distortion& distortion,
             const DistortWindow& window, std::span<float> out);

/// Rows of one kind, on any device: of `samples` = given(kind), so without context where there is no reverberation.
struct DistortRows {
  DistortionKind kind = DistortionKind::none;
  Tensor music;                              ///< (N, samples) f32
  Tensor noise;                              ///< (N, samples) f32, for kinds with noise
  std::vector<float> snr_db;                 ///< (N), for kinds with noise
  std::vector<kernels::RoomResponse> rooms;  ///< (N), for kinds with reverb
  Tensor out;                                ///< (N, kept()) f32
};
/// The whole chain for all rows at once. Where the window is circular, rows with reverberation come with the end of
/// their kept part in front, and turned by the response's delay (as PairSampler gathers them): rooms have none then.
void distort(const DistortRows& rows, const DistortWindow& window);

}  // namespace earmark::data
