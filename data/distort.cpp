#include "data/distort.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/mix.h"
#include "kernels/reverb.h"

namespace earmark::data {
namespace {

// One row; kernels only write into what is named out, so viewing constant samples is safe.
Tensor row_of(std::span<const float> x) {
  return Tensor({1, static_cast<std::int64_t>(x.size())}, DType::f32, const_cast<float*>(x.data()), nullptr);  // NOLINT
}

void convolve(std::span<const float> x, const Rir& rir, const DistortWindow& window, const Tensor* prepared,
              std::span<float> out) {
  const auto length = static_cast<std::int64_t>(rir.samples.size());
  const Tensor spectrum =
      prepared != nullptr
          ? *prepared
          : kernels::rir_spectrum(rir.samples, kernels::reverb_fft_size(window.total(), window.context, length));
  kernels::reverb({row_of(x), spectrum, window.context, rir.delay, length, row_of(out)});
}

void check_length(std::string_view what, std::size_t got, std::int64_t wanted) {
  check(static_cast<std::int64_t>(got) == wanted, "distort: expected ", wanted, " samples of ", what, ", got ", got);
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
  check_length("music", music.size(), window.total());
  check_length("output", out.size(), window.kept());
  convolve(music, rir, window, spectrum, out);
  kernels::peak_normalize({row_of(out), 1.0F});
}

void mix_at_snr(std::span<float> signal, std::span<const float> noise, double snr_db, const DistortWindow& window) {
  check_length("signal", signal.size(), window.kept());
  check_length("noise", noise.size(), window.kept());
  const auto snr = static_cast<float>(snr_db);
  const Tensor row = row_of(signal);
  kernels::mix_at_snr({row, row_of(noise), Tensor::from<float>({1}, std::span(&snr, 1)), window.margin_before,
                       window.margin_before + window.segment, row});
}

void distort(std::span<const float> music, std::span<const float> noise, const Distortion& distortion,
             const DistortWindow& window, std::span<float> out) {
  check_length("music", music.size(), window.total());
  check_length("output", out.size(), window.kept());
  const auto context = static_cast<std::size_t>(window.context);
  check(!has_reverb(distortion.kind) || distortion.rir != nullptr, "distort: reverberation needs a room response");
  if (has_reverb(distortion.kind)) {
    reverberate(music, *distortion.rir, window, out, distortion.spectrum);
  } else {
    std::copy(music.begin() + window.context, music.end(), out.begin());
  }
  if (!has_noise(distortion.kind)) {
    return;
  }
  check_length("noise", noise.size(), window.total());
  if (has_reverb(distortion.kind)) {
    std::vector<float> heard(out.size());
    convolve(noise, *distortion.rir, window, distortion.spectrum, heard);
    mix_at_snr(out, heard, distortion.snr_db, window);
  } else {
    mix_at_snr(out, noise.subspan(context), distortion.snr_db, window);
  }
}

}  // namespace earmark::data
