// From samples to the encoder's input: a training batch's way.
#include "kernels/mix.h"
#include "kernels/pcm.h"
#include "kernels/reverb.h"
#include "kernels/spectrogram.h"
#include "tests/bench/cuda_benchmark.h"
#include "tests/op_cases.h"

namespace earmark::testing {
namespace {

KernelCase widen_case(const BenchmarkSizes& s) {
  const Shape shape{s.batch, s.samples};
  return {"pcm/widen", 6 * static_cast<double>(shape.numel()), 0, [shape]() -> std::function<void()> {
            const kernels::WidenPcm args{Tensor::zeros(shape, DType::i16, kGpu), gpu_empty(shape)};
            return [args] { kernels::widen_pcm(args); };
          }};
}

std::vector<KernelCase> mix_cases(const BenchmarkSizes& s) {
  const Shape shape{s.batch, s.samples};
  const auto samples = static_cast<double>(shape.numel());
  return {{"mix/at_snr", 12 * samples, 0,
           [shape]() -> std::function<void()> {
             kernels::MixAtSnr args;
             args.signal = gpu_normal(shape);
             args.noise = gpu_normal(shape, 1);
             args.snr_db = gpu_normal({shape[0]}, 2);
             args.end = shape[1];
             args.out = gpu_empty(shape);
             return [args] { kernels::mix_at_snr(args); };
           }},
          {"mix/peak_normalize", 8 * samples, 0, [shape]() -> std::function<void()> {
             const kernels::PeakNormalize args{gpu_normal(shape)};
             return [args] { kernels::peak_normalize(args); };
           }}};
}

/// A room of half a second for all rows, which keep the half of their samples that is not its tail.
KernelCase reverb_case(const BenchmarkSizes& s) {
  const std::int64_t skip = s.samples / 2;
  const std::int64_t fft_size = kernels::reverb_fft_size(s.samples, skip, skip);
  const auto rows = static_cast<double>(s.batch);
  return {"reverb/one_room", rows * 4 * static_cast<double>(2 * s.samples - skip), 0, [=]() -> std::function<void()> {
            const Tensor response = draw({skip}, Domain::normal, DType::f32, 4);
            const auto room = std::make_shared<kernels::RoomResponse>(
                kernels::RoomResponse{kernels::rir_spectrum(response.values<float>(), fft_size).to(kGpu), 0, skip});
            const Tensor x = gpu_normal({s.batch, s.samples});
            const Tensor out = gpu_empty({s.batch, s.samples - skip});
            return [=] { kernels::reverb({.x = x, .rooms = std::span(room.get(), 1), .skip = skip, .out = out}); };
          }};
}

std::vector<KernelCase> spectrogram_cases(const BenchmarkSizes& s) {
  const FeatureOptions options;
  const std::int64_t frames = s.samples / options.hop;
  const auto segments = static_cast<double>(s.batch);
  const auto bins = static_cast<double>(options.mel_bands);
  const double segment = static_cast<double>(options.frames) * bins;
  return {
      {"spectrogram/log_mel", segments * 4 * (static_cast<double>(s.samples) + static_cast<double>(frames) * bins), 0,
       [=]() -> std::function<void()> {
         const kernels::LogMel args{gpu_normal({s.batch, s.samples}), gpu_empty({s.batch, frames, options.mel_bands})};
         return [=] { kernels::log_mel(options, args); };
       }},
      {"spectrogram/cut_segments", segments * 4 * segment, 0, [=]() -> std::function<void()> {
         const std::int64_t count = s.batch;
         kernels::CutSegments args{gpu_normal({options.frames + (count - 1) * options.hop_frames, options.mel_bands}),
                                   gpu_empty({count, options.mel_bands, options.frames, 1})};
         args.hop_frames = options.hop_frames;
         return [=] { kernels::cut_segments(options, args); };
       }}};
}

}  // namespace

std::vector<KernelCase> sound_kernel_cases(const BenchmarkSizes& s) {
  std::vector<KernelCase> all = mix_cases(s);
  all.push_back(widen_case(s));
  all.push_back(reverb_case(s));
  for (const KernelCase& c : spectrogram_cases(s)) {
    all.push_back(c);
  }
  return all;
}

}  // namespace earmark::testing
