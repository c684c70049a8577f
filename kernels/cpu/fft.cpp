#include "kernels/fft.h"

#include <cmath>
#include <map>
#include <numbers>

#include "kernels/error.h"

extern "C" {
#include <libavutil/tx.h>
}

namespace earmark::kernels {

struct Fft::Plan {
  AVTXContext* context = nullptr;
  av_tx_fn transform = nullptr;

  Plan(std::int64_t n, bool inverse) {
    const float scale = 1;
    const int error =
        av_tx_init(&context, &transform, AV_TX_FLOAT_FFT, inverse ? 1 : 0, static_cast<int>(n), &scale, 0);
    check(error >= 0, "no Fourier transform of size ", n);
  }
  ~Plan() { av_tx_uninit(&context); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  void run(std::complex<float>* in, std::complex<float>* out) const {
    transform(context, out, in, sizeof(std::complex<float>));
  }
};

Fft::Fft(std::int64_t n) : n_(n) {
  check(n >= 2 && n <= (1 << 17) * 15, "no Fourier transform of size ", n);
  forward_ = std::make_unique<Plan>(n, false);
  inverse_ = std::make_unique<Plan>(n, true);
}
Fft::~Fft() = default;

void Fft::forward(std::complex<float>* in, std::complex<float>* out) const { forward_->run(in, out); }
void Fft::inverse(std::complex<float>* in, std::complex<float>* out) const { inverse_->run(in, out); }

RealFft::RealFft(std::int64_t n)
    : n_(n), half_(n / 2), twiddles_(std::make_unique<std::complex<float>[]>(static_cast<std::size_t>(n / 4 + 1))) {
  check(n >= 4 && n % 4 == 0, "a real Fourier transform needs a size divisible by 4, got ", n);
  for (std::int64_t k = 0; k <= n / 4; ++k) {
    const double angle = -2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
    twiddles_[static_cast<std::size_t>(k)] = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
  }
}
RealFft::~RealFft() = default;

// With z[j] = x[2j] + i·x[2j+1] and Z its transform of size h = n/2:
//   E = (Z[k] + conj Z[h-k]) / 2, O = (Z[k] - conj Z[h-k]) / 2i, X[k] = E + w^k·O, X[h-k] = conj(E - w^k·O)
void RealFft::forward(float* in, std::complex<float>* out) const {
  half_.forward(reinterpret_cast<std::complex<float>*>(in), out);
  const std::int64_t h = n_ / 2;
  auto* z = reinterpret_cast<float*>(out);
  const auto* w = reinterpret_cast<const float*>(twiddles_.get());
  const float first_re = z[0];
  const float first_im = z[1];
  z[0] = first_re + first_im;
  z[1] = 0;
  z[2 * h] = first_re - first_im;
  z[2 * h + 1] = 0;
  for (std::int64_t k = 1; k <= h / 2; ++k) {
    const std::int64_t j = h - k;
    const float even_re = 0.5F * (z[2 * k] + z[2 * j]);
    const float even_im = 0.5F * (z[2 * k + 1] - z[2 * j + 1]);
    const float odd_re = 0.5F * (z[2 * k + 1] + z[2 * j + 1]);
    const float odd_im = 0.5F * (z[2 * j] - z[2 * k]);
    const float turned_re = w[2 * k] * odd_re - w[2 * k + 1] * odd_im;
    const float turned_im = w[2 * k] * odd_im + w[2 * k + 1] * odd_re;
    z[2 * k] = even_re + turned_re;
    z[2 * k + 1] = even_im + turned_im;
    z[2 * j] = even_re - turned_re;
    z[2 * j + 1] = turned_im - even_im;
  }
}

// The way back: E = X[k] + conj X[h-k], w^k·O = X[k] - conj X[h-k], Z[k] = E + i·O (twice the forward's, so unscaled).
void RealFft::inverse(std::complex<float>* in, float* out) const {
  const std::int64_t h = n_ / 2;
  auto* x = reinterpret_cast<float*>(in);
  const auto* w = reinterpret_cast<const float*>(twiddles_.get());
  const float first = x[0];
  const float last = x[2 * h];
  x[0] = first + last;
  x[1] = first - last;
  for (std::int64_t k = 1; k <= h / 2; ++k) {
    const std::int64_t j = h - k;
    const float even_re = x[2 * k] + x[2 * j];
    const float even_im = x[2 * k + 1] - x[2 * j + 1];
    const float turned_re = x[2 * k] - x[2 * j];
    const float turned_im = x[2 * k + 1] + x[2 * j + 1];
    const float odd_re = w[2 * k] * turned_re + w[2 * k + 1] * turned_im;
    const float odd_im = w[2 * k] * turned_im - w[2 * k + 1] * turned_re;
    x[2 * k] = even_re - odd_im;
    x[2 * k + 1] = even_im + odd_re;
    x[2 * j] = even_re + odd_im;
    x[2 * j + 1] = odd_re - even_im;
  }
  half_.inverse(in, reinterpret_cast<std::complex<float>*>(out));
}

namespace {
template <class Transform>
const Transform& thread_plan(std::int64_t n) {
  thread_local std::map<std::int64_t, std::unique_ptr<Transform>> plans;
  auto& plan = plans[n];
  if (!plan) {
    plan = std::make_unique<Transform>(n);
  }
  return *plan;
}
}  // namespace

const Fft& thread_fft(std::int64_t n) { return thread_plan<Fft>(n); }
const RealFft& thread_real_fft(std::int64_t n) { return thread_plan<RealFft>(n); }

std::int64_t good_fft_size(std::int64_t n) {
  std::int64_t size = 8;
  while (size < n) {
    if (3 * size / 2 >= n && size >= 16) {
      return 3 * size / 2;
    }
    size *= 2;
  }
  return size;
}

}  // namespace earmark::kernels
