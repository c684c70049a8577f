#include "kernels/reverb.h"

#include <algorithm>
#include <complex>

#include "kernels/fft.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

void multiply_spectrum(float* x, const float* h, std::int64_t bins) {
  for (std::int64_t k = 0; k < bins; ++k) {
    const float re = x[2 * k] * h[2 * k] - x[2 * k + 1] * h[2 * k + 1];
    x[2 * k + 1] = x[2 * k] * h[2 * k + 1] + x[2 * k + 1] * h[2 * k];
    x[2 * k] = re;
  }
}

// x[begin, begin + count), zeros where it has no samples.
void copy_padded(const float* x, std::int64_t samples, std::int64_t begin, std::int64_t count, float* out) {
  const std::int64_t from = std::clamp<std::int64_t>(-begin, 0, count);
  const std::int64_t to = std::clamp<std::int64_t>(samples - begin, from, count);
  std::fill(out, out + from, 0.0F);
  std::copy(x + begin + from, x + begin + to, out + from);
  std::fill(out + to, out + count, 0.0F);
}

// Overlap-save: of a circular convolution of size n, all but the first length - 1 samples equal the linear one.
void reverb_row(const Reverb& args, const RoomResponse& room, const float* x, float* out) {
  const std::int64_t bins = room.spectrum.dim(0);
  const std::int64_t n = 2 * (bins - 1);
  const std::int64_t samples = args.x.dim(1);
  const std::int64_t kept = samples - args.skip;
  const std::int64_t good = n - room.length + 1;
  const Tensor time({n});
  const Tensor frequency({bins, 2});
  const RealFft& fft = thread_real_fft(n);
  auto* spectrum = reinterpret_cast<std::complex<float>*>(frequency.mutable_data<float>());
  for (std::int64_t done = 0; done < kept; done += good) {
    const std::int64_t first = args.skip + room.delay + done - (room.length - 1);
    copy_padded(x, samples, first, n, time.mutable_data<float>());
    fft.forward(time.mutable_data<float>(), spectrum);
    multiply_spectrum(frequency.mutable_data<float>(), room.spectrum.data<float>(), bins);
    fft.inverse(spectrum, time.mutable_data<float>());
    const float* result = time.data<float>() + room.length - 1;
    std::copy(result, result + std::min(good, kept - done), out + done);
  }
}

}  // namespace

void reverb(const Reverb& args) {
  parallel_for(args.x.dim(0), [&](std::int64_t row) {
    const RoomResponse& room = args.rooms[args.rooms.size() == 1 ? 0 : static_cast<std::size_t>(row)];
    reverb_row(args, room, args.x.data<float>() + row * args.x.dim(1),
               args.out.mutable_data<float>() + row * args.out.dim(1));
  });
}

}  // namespace earmark::kernels::cpu
