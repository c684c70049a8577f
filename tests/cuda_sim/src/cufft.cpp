// cuFFT: batches of one-dimensional transforms between real and complex numbers, in double inside.
#include <cufft.h>

#include <cmath>
#include <complex>
#include <map>
#include <mutex>
#include <numbers>
#include <vector>

#include "access.h"
#include "config.h"
#include "streams.h"

namespace cudasim {
namespace {

using Complex = std::complex<double>;

/// Transforms lie one behind the other: `length` real numbers, or half as many and one complex ones.
struct Plan {
  cudaStream_t stream = nullptr;
  cufftType type = CUFFT_R2C;
  std::int64_t length = 0;
  std::int64_t batch = 0;
  bool has_work_area = true;  ///< Of its own; else the program gives it one.
  void* work_area = nullptr;

  std::int64_t bins() const { return length / 2 + 1; }
  std::size_t real_bytes() const { return static_cast<std::size_t>(length * batch) * sizeof(float); }
  std::size_t complex_bytes() const { return static_cast<std::size_t>(bins() * batch) * sizeof(cufftComplex); }
};

std::map<cufftHandle, Plan> plans;

/// sum_t x[t] exp(direction 2 pi i k t / n): halves while the length is even, then by the definition.
std::vector<Complex> transform(const std::vector<Complex>& x, double direction) {
  const std::size_t n = x.size();
  const auto root = [&](std::size_t k) {
    return std::polar(1.0, direction * 2 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n));
  };
  std::vector<Complex> out(n);
  if (n % 2 == 1) {
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t t = 0; t < n; ++t) {
        out[k] += x[t] * root(k * t);
      }
    }
    return out;
  }
  std::vector<Complex> even(n / 2);
  std::vector<Complex> odd(n / 2);
  for (std::size_t i = 0; i < n / 2; ++i) {
    even[i] = x[2 * i];
    odd[i] = x[2 * i + 1];
  }
  even = transform(even, direction);
  odd = transform(odd, direction);
  for (std::size_t k = 0; k < n / 2; ++k) {
    out[k] = even[k] + root(k) * odd[k];
    out[k + n / 2] = even[k] - root(k) * odd[k];
  }
  return out;
}

/// The work area is written over, as the library may do: transforms of two streams must not share one.
bool use_work_area(const Plan& p) {
  return p.has_work_area || library_writes(p.work_area, p.real_bytes(), "cufftExec (work area)");
}

void to_complex(const Plan& p, float* in, cufftComplex* out) {
  if (!use_work_area(p) || !library_reads(in, p.real_bytes(), "cufftExecR2C") ||
      !library_writes(out, p.complex_bytes(), "cufftExecR2C")) {
    return;
  }
  for (std::int64_t b = 0; b < p.batch; ++b) {
    const float* const first = in + b * p.length;
    const std::vector<Complex> y = transform(std::vector<Complex>(first, first + p.length), -1);
    for (std::int64_t i = 0; i < p.bins(); ++i) {
      const Complex& value = y[static_cast<std::size_t>(i)];
      out[b * p.bins() + i] = {static_cast<float>(value.real()), static_cast<float>(value.imag())};
    }
  }
}

/// Not divided by the length. The imaginary parts of the first and, for even lengths, the last bin count as zero. The
/// input is not kept, as the library may not.
void to_real(const Plan& p, cufftComplex* in, float* out) {
  if (!use_work_area(p) || !library_reads(in, p.complex_bytes(), "cufftExecC2R") ||
      !library_writes(in, p.complex_bytes(), "cufftExecC2R (its input)") ||
      !library_writes(out, p.real_bytes(), "cufftExecC2R")) {
    return;
  }
  for (std::int64_t b = 0; b < p.batch; ++b) {
    std::vector<Complex> x(static_cast<std::size_t>(p.length));
    for (std::int64_t i = 0; i < p.bins(); ++i) {
      cufftComplex& value = in[b * p.bins() + i];
      const std::int64_t mirror = (p.length - i) % p.length;
      x[static_cast<std::size_t>(mirror)] = {value.x, mirror == i ? 0.0 : -value.y};
      x[static_cast<std::size_t>(i)] = {value.x, mirror == i ? 0.0 : value.y};
      value = {NAN, NAN};
    }
    x = transform(x, 1);
    for (std::int64_t i = 0; i < p.length; ++i) {
      out[b * p.length + i] = static_cast<float>(x[static_cast<std::size_t>(i)].real());
    }
  }
}

/// Calls f with the plan, or gives the error of a handle that is none.
template <class F>
cufftResult with_plan(cufftHandle handle, F f) {
  const Lock lock(runtime_mutex());
  const auto at = plans.find(handle);
  return at == plans.end() ? CUFFT_INVALID_PLAN : f(at->second);
}

template <class In, class Out>
cufftResult queue_transform(cufftHandle handle, cufftType type, In* in, Out* out, void (*run)(const Plan&, In*, Out*)) {
  return with_plan(handle, [&](const Plan& plan) {
    if (plan.type != type) {
      return CUFFT_INVALID_TYPE;
    }
    if (plan.length == 0 || (!plan.has_work_area && plan.work_area == nullptr)) {
      return CUFFT_INVALID_PLAN;
    }
    if (next_library_call_fails()) {
      return CUFFT_ALLOC_FAILED;
    }
    const cudaError_t status = enqueue(plan.stream, "cufftExec", [plan, in, out, run] { run(plan, in, out); });
    return status == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
  });
}

}  // namespace
}  // namespace cudasim

using namespace cudasim;

extern "C" {

cufftResult cufftCreate(cufftHandle* handle) {
  const Lock lock(runtime_mutex());
  if (next_library_call_fails()) {
    return CUFFT_ALLOC_FAILED;
  }
  *handle = plans.empty() ? 1 : plans.rbegin()->first + 1;
  plans[*handle] = {};
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle handle) {
  const Lock lock(runtime_mutex());
  return plans.erase(handle) > 0 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}

cufftResult cufftSetAutoAllocation(cufftHandle handle, int on) {
  return with_plan(handle, [&](Plan& plan) {
    plan.has_work_area = on != 0;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftMakePlanMany64(cufftHandle handle, int rank, long long* length, long long* in_embed,
                                long long /*in_stride*/, long long /*in_distance*/, long long* /*out_embed*/,
                                long long /*out_stride*/, long long /*out_distance*/, cufftType type, long long batch,
                                std::size_t* work_bytes) {
  return with_plan(handle, [&](Plan& plan) {
    if (rank != 1 || in_embed != nullptr || (type != CUFFT_R2C && type != CUFFT_C2R)) {
      return CUFFT_NOT_SUPPORTED;
    }
    if (*length < 1 || batch < 1) {
      return CUFFT_INVALID_SIZE;
    }
    if (next_library_call_fails()) {
      return CUFFT_ALLOC_FAILED;
    }
    plan.type = type;
    plan.length = *length;
    plan.batch = batch;
    *work_bytes = plan.real_bytes();
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetWorkArea(cufftHandle handle, void* area) {
  return with_plan(handle, [&](Plan& plan) {
    plan.work_area = area;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream) {
  return with_plan(handle, [&](Plan& plan) {
    plan.stream = stream;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftExecR2C(cufftHandle handle, cufftReal* in, cufftComplex* out) {
  return queue_transform(handle, CUFFT_R2C, in, out, to_complex);
}

cufftResult cufftExecC2R(cufftHandle handle, cufftComplex* in, cufftReal* out) {
  return queue_transform(handle, CUFFT_C2R, in, out, to_real);
}

}  // extern "C"
