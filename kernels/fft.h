// Fast Fourier transforms in float through libavutil (av_tx). Plans hold scratch memory: one per thread, from
// thread_fft(), or owned by one user.
#pragma once

#include <complex>
#include <cstdint>
#include <memory>

namespace earmark::kernels {

/// A complex transform of one size. Unscaled both ways: inverse(forward(x)) = n · x.
class Fft {
 public:
  /// Throws Error for sizes libavutil cannot do (it does 2^k, and 3, 5, 15 times 2^k).
  explicit Fft(std::int64_t n);
  ~Fft();
  Fft(const Fft&) = delete;
  Fft& operator=(const Fft&) = delete;

  std::int64_t size() const { return n_; }
  /// `in` and `out` (n), 64-byte aligned, not overlapping. `in` may be overwritten.
  void forward(std::complex<float>* in, std::complex<float>* out) const;
  void inverse(std::complex<float>* in, std::complex<float>* out) const;

 private:
  struct Plan;
  std::int64_t n_;
  std::unique_ptr<Plan> forward_;
  std::unique_ptr<Plan> inverse_;
};

/// A real transform of even size n: n samples to n/2 + 1 complex bins and back. Unscaled both ways.
class RealFft {
 public:
  explicit RealFft(std::int64_t n);
  ~RealFft();
  RealFft(const RealFft&) = delete;
  RealFft& operator=(const RealFft&) = delete;

  std::int64_t size() const { return n_; }
  /// `in` (n), `out` (n/2 + 1), 64-byte aligned. `in` may be overwritten.
  void forward(float* in, std::complex<float>* out) const;
  /// `in` (n/2 + 1) is overwritten; `out` (n).
  void inverse(std::complex<float>* in, float* out) const;

 private:
  std::int64_t n_;
  Fft half_;
  std::unique_ptr<std::complex<float>[]> twiddles_;
};

/// This thread's plan of size n, made at first use.
const Fft& thread_fft(std::int64_t n);
const RealFft& thread_real_fft(std::int64_t n);
/// The smallest size >= n that is fast: a power of two or 3 · 2^k.
std::int64_t good_fft_size(std::int64_t n);

}  // namespace earmark::kernels
