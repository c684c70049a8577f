#include "kernels/cuda/fft.h"

#include <cufft.h>

#include <algorithm>
#include <bit>
#include <compare>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/cuda/status.h"
#include "kernels/cuda/stream.h"

namespace earmark::kernels::cuda {
namespace {

struct Key {
  int device;
  cufftType type;
  std::int64_t n;
  std::int64_t batch;
  auto operator<=>(const Key&) const = default;
};

void check_fft(cufftResult status, const Key& key, const char* what) {
  if (status != CUFFT_SUCCESS) {
    throw_library_error(
        str(what, ": cuFFT error ", static_cast<int>(status), " for ", key.batch, " real transforms of size ", key.n));
  }
}

/// A plan without memory of its own: run() brings it.
class Plan {
 public:
  explicit Plan(const Key& key) : key_(key) {
    check_fft(cufftCreate(&plan_), key, "cufftCreate");
    try {
      long long size = key.n;
      check_fft(cufftSetAutoAllocation(plan_, 0), key, "cufftSetAutoAllocation");
      check_fft(cufftMakePlanMany64(plan_, 1, &size, nullptr, 1, 0, nullptr, 1, 0, key.type, key.batch, &work_bytes_),
                key, "cufftMakePlanMany64");
    } catch (...) {
      static_cast<void>(cufftDestroy(plan_));
      throw;
    }
  }
  ~Plan() { static_cast<void>(cufftDestroy(plan_)); }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  void run(const Tensor& in, const Tensor& out) {
    const Tensor work({static_cast<std::int64_t>(work_bytes_)}, DType::u8, in.device());
    const std::scoped_lock lock(mutex_);
    check_fft(cufftSetStream(plan_, current_stream()), key_, "cufftSetStream");
    if (work_bytes_ > 0) {
      check_fft(cufftSetWorkArea(plan_, work.raw()), key_, "cufftSetWorkArea");
    }
    check_fft(
        key_.type == CUFFT_R2C
            ? cufftExecR2C(plan_, in.mutable_data<float>(), reinterpret_cast<cufftComplex*>(out.mutable_data<float>()))
            : cufftExecC2R(plan_, reinterpret_cast<cufftComplex*>(in.mutable_data<float>()), out.mutable_data<float>()),
        key_, "cufftExec");
    note_call("cufftExec", current_stream());
  }

 private:
  Key key_;
  cufftHandle plan_ = 0;
  std::size_t work_bytes_ = 0;
  std::mutex mutex_;
};

Plan& plan_for(const Key& key) {
  static std::mutex mutex;
  static auto* const plans = new std::map<Key, std::unique_ptr<Plan>>;  // never destroyed: the driver goes before
  const std::scoped_lock lock(mutex);
  std::unique_ptr<Plan>& plan = (*plans)[key];
  if (!plan) {
    plan = std::make_unique<Plan>(key);
  }
  return *plan;
}

void transform(cufftType type, const Tensor& time, const Tensor& bins) {
  const std::int64_t batch = time.dim(0);
  const std::int64_t n = time.dim(1);
  check(bins.shape() == Shape({batch, n / 2 + 1, 2}), "real transforms of ", time.shape(), ": expected bins (", batch,
        ", ", n / 2 + 1, ", 2), got ", bins.shape());
  Plan& plan = plan_for({time.device().index, type, n, batch});
  type == CUFFT_R2C ? plan.run(time, bins) : plan.run(bins, time);
}

}  // namespace

std::int64_t fft_batch(std::int64_t n, std::int64_t rest) {
  constexpr std::int64_t kMostSamples = 1 << 21;
  constexpr std::int64_t kMostBatch = 1 << 15;  // rows of a grid end at 65,535
  const auto most =
      std::bit_floor(static_cast<std::uint64_t>(std::clamp<std::int64_t>(kMostSamples / n, 1, kMostBatch)));
  return static_cast<std::int64_t>(std::min(most, std::bit_ceil(static_cast<std::uint64_t>(rest))));
}

void real_fft(const Tensor& time, const Tensor& bins) { transform(CUFFT_R2C, time, bins); }
void inverse_real_fft(const Tensor& bins, const Tensor& time) { transform(CUFFT_C2R, time, bins); }

}  // namespace earmark::kernels::cuda
