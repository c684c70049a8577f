#include "data/distort.h"

#include "kernels/error.h"
#include "kernels/mix.h"
#include "kernels/reverb.h"

namespace earmark::data {
namespace {

// One row; kernels only write into what is named out, so viewing constant samples is safe.
Tensor row_of(std::span<const float> x) {
  return Tensor({1, static_cast<std::int64_t>(x.size())}, DType::f32, const_cast<float*>(x.data()), nullptr);  // NOLINT
}

kernels::RoomResponse response_of(const Rir& rir, const Tensor* prepared, const DistortWindow& window) {
  const auto length = static_cast<std::int64_t>(rir.samples.size());
  return {prepared != nullptr
              ? *prepared
              : kernels::rir_spectrum(rir.samples, kernels::reverb_fft_size(window.total(), window.context, length)),
          rir.delay, length};
}

void check_length(std::string_view what, std::size_t got, std::int64_t wanted) {
  check(static_cast<std::int64_t>(got) == wanted, "distort: expected ", wanted, " samples of ", what, ", got ", got);
}

// Noise first, then the response over both. A whole turn has the same energy wherever it begins.
void distort_in_a_circle(const DistortRows& rows, const DistortWindow& window) {
  Tensor dry = rows.music;
  if (has_noise(rows.kind)) {
    dry = empty_like(rows.music);
    kernels::mix_at_snr({rows.music, rows.noise, Tensor::from<float>({rows.music.dim(0)}, rows.snr_db), window.context,
                         window.total(), dry});
  }
  kernels::reverb({dry, rows.rooms, window.context, rows.out});
  kernels::peak_normalize({rows.out, 1.0F});
}

}  // namespace

std::string_view name_of(DistortionKind kind) {
  switch (kind) {
    case DistortionKind::none:
      return "none";
    case DistortionKind::noise:
      return "noise";
    case DistortionKind::reverb:
      return "reverb";
    case DistortionKind::noise_reverb:
      return "noise_reverb";
  }
  return "?";
}

void reverberate(std::span<const float> music, const Rir& rir, const DistortWindow& window, std::span<float> out,
                 const Tensor* spectrum) {
  distort(music, {}, {DistortionKind::reverb, 0, &rir, spectrum}, window, out);
}

void mix_at_snr(std::span<float> signal, std::span<const float> noise, double snr_db, const DistortWindow& window) {
  check_length("signal", signal.size(), window.kept());
  check_length("noise", noise.size(), window.kept());
  const Tensor row = row_of(signal);
  distort({DistortionKind::noise, row, row_of(noise), {static_cast<float>(snr_db)}, {}, row}, window);
}

void distort(std::span<const float> music, std::span<const float> noise, const Distortion& distortion,
             const DistortWindow& window, std::span<float> out) {
  check_length("music", music.size(), window.total());
  check_length("output", out.size(), window.kept());
  DistortRows rows;
  rows.kind = distortion.kind;
  const std::size_t dropped = has_reverb(rows.kind) ? 0 : static_cast<std::size_t>(window.context);
  rows.music = row_of(music.subspan(dropped));
  rows.out = row_of(out);
  if (has_reverb(rows.kind)) {
    check(distortion.rir != nullptr, "distort: reverberation needs a room response");
    rows.rooms.push_back(response_of(*distortion.rir, distortion.spectrum, window));
  }
  if (has_noise(rows.kind)) {
    check_length("noise", noise.size(), window.total());
    rows.noise = row_of(noise.subspan(dropped));
    rows.snr_db.push_back(static_cast<float>(distortion.snr_db));
  }
  distort(rows, window);
}

void distort(const DistortRows& rows, const DistortWindow& window) {
  const std::int64_t count = rows.out ? rows.out.dim(0) : 0;
  const Shape given{count, window.given(rows.kind)};
  check(rows.out && rows.out.shape() == Shape({count, window.kept()}), "distort: expected out (N, ", window.kept(),
        "), got ", rows.out.shape());
  check(rows.music && rows.music.shape() == given, "distort: expected music ", given, ", got ", rows.music.shape());
  if (window.circular && has_reverb(rows.kind)) {
    return distort_in_a_circle(rows, window);
  }
  const auto reverberant = [&](const Tensor& dry, const Tensor& wet) {
    kernels::reverb({dry, rows.rooms, window.context, wet});
  };
  Tensor heard = rows.music;
  if (has_reverb(rows.kind)) {
    heard = rows.out;
    reverberant(rows.music, heard);
    kernels::peak_normalize({heard, 1.0F});
  }
  if (!has_noise(rows.kind)) {
    return has_reverb(rows.kind) ? void() : rows.out.copy_from(rows.music);
  }
  check(rows.noise && rows.noise.shape() == given, "distort: expected noise ", given, ", got ", rows.noise.shape());
  Tensor noise = rows.noise;
  if (has_reverb(rows.kind)) {
    noise = empty_like(rows.out);
    reverberant(rows.noise, noise);
  }
  kernels::mix_at_snr({heard, noise, Tensor::from<float>({count}, rows.snr_db), window.margin_before,
                       window.margin_before + window.segment, rows.out});
}

}  // namespace earmark::data
