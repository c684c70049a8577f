#include "kernels/reverb.h"

#include <algorithm>
#include <complex>

#include "kernels/dispatch.h"
#include "kernels/error.h"
#include "kernels/fft.h"

namespace earmark::kernels {
namespace {
constexpr std::int64_t kLargestFft = 1 << 18;  // libavutil's fast transforms end at 2^17 complex points

void check_room(const RoomResponse& room, Device device) {
  check(room.spectrum && room.spectrum.shape().rank() == 2 && room.spectrum.dim(1) == 2,
        "reverb: expected spectrum (fft_size / 2 + 1, 2), got ", room.spectrum.shape());
  check(room.spectrum.device() == device, "reverb: x on ", device, ", a spectrum on ", room.spectrum.device());
  const std::int64_t fft_size = 2 * (room.spectrum.dim(0) - 1);
  check(room.length >= 1 && room.length <= fft_size && room.delay >= 0 && room.delay < room.length,
        "reverb: a response of ", room.length, " samples with delay ", room.delay, " in a transform of ", fft_size);
}

}  // namespace

std::int64_t reverb_fft_size(std::int64_t samples, std::int64_t skip, std::int64_t rir_length) {
  check(rir_length >= 1 && rir_length <= kLargestFft / 2, "room response: expected 1 to ", kLargestFft / 2,
        " samples, got ", rir_length);
  const std::int64_t one_block = good_fft_size(samples - skip + rir_length - 1);
  return std::min(one_block, std::max<std::int64_t>(1 << 16, good_fft_size(4 * rir_length)));
}

Tensor rir_spectrum(std::span<const float> rir, std::int64_t fft_size) {
  check(!rir.empty() && static_cast<std::int64_t>(rir.size()) <= fft_size, "rir_spectrum: ", rir.size(),
        " samples do not fit a transform of ", fft_size);
  const Tensor padded = Tensor::zeros({fft_size});
  const float scale = 1.0F / static_cast<float>(fft_size);
  std::transform(rir.begin(), rir.end(), padded.mutable_data<float>(), [scale](float x) { return x * scale; });
  const Tensor spectrum({fft_size / 2 + 1, 2});
  thread_real_fft(fft_size).forward(padded.mutable_data<float>(),
                                    reinterpret_cast<std::complex<float>*>(spectrum.mutable_data<float>()));
  return spectrum;
}

void reverb(const Reverb& args) {
  check(args.x && args.x.shape().rank() == 2, "reverb: expected x (N, samples), got ", args.x.shape());
  const std::int64_t kept = args.x.dim(1) - args.skip;
  check(args.skip >= 0 && kept >= 1, "reverb: skip ", args.skip, " of ", args.x.dim(1), " samples");
  check(args.out && args.out.shape() == Shape({args.x.dim(0), kept}), "reverb: expected out (", args.x.dim(0), ", ",
        kept, "), got ", args.out.shape());
  check(args.out.device() == args.x.device(), "reverb: x on ", args.x.device(), ", out on ", args.out.device());
  const auto rooms = static_cast<std::int64_t>(args.rooms.size());
  check(rooms == 1 || rooms == args.x.dim(0), "reverb: ", rooms, " room responses for ", args.x.dim(0), " rows");
  for (const RoomResponse& room : args.rooms) {
    check_room(room, args.x.device());
  }
  run_on<cpu::reverb, cuda::reverb>(args.x.device(), args);
}

}  // namespace earmark::kernels
