// Memory sets the pace. Forward and backward pass over the maps twice: for the sums of each sample, block by block, and
// for what is written. ELU is computed anew each time, into a buffer that stays in L1: cheaper than a map of its own.
#include "kernels/layer_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "kernels/cpu/channel_rows.h"
#include "kernels/cpu/in_float.h"
#include "kernels/cpu/moments.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

constexpr std::int64_t kSampleBlock = 2048;  // elements of a sample that are summed as one

/// The operands as the loops use them.
template <class T>
struct Layer {
  const T* x;
  const T* gamma;
  const T* beta;
  bool elu;
  std::int64_t samples;
  std::int64_t size;    // elements of a sample
  std::int64_t blocks;  // of a sample

  explicit Layer(const LayerNormForward& a)
      : x(a.x.data<T>()),
        gamma(a.gamma.data<T>()),
        beta(a.beta.data<T>()),
        elu(a.elu),
        samples(a.x.dim(0)),
        size(a.gamma.numel()),
        blocks((size + kSampleBlock - 1) / kSampleBlock) {}
};

/// Elements [begin, begin + count) of a sample.
struct Block {
  std::int64_t sample;
  std::int64_t begin;
  std::int64_t count;
};

/// Calls f(index, block) for every block of every sample.
template <class T, class F>
void for_each_block(const Layer<T>& layer, const F& f) {
  parallel_for(layer.samples * layer.blocks, [&](std::int64_t task) {
    const std::int64_t begin = task % layer.blocks * kSampleBlock;
    f(task, Block{task / layer.blocks, begin, std::min(kSampleBlock, layer.size - begin)});
  });
}

/// z of up to kSampleBlock elements: x itself, or ELU of it in `buffer`.
template <class T>
const T* activated(const T* x, std::int64_t count, bool elu, std::array<T, kSampleBlock>& buffer) {
  if (!elu) {
    return x;
  }
  T* to = buffer.data();
  for (std::int64_t i = 0; i < count; ++i) {
    to[i] = x[i] > 0 ? x[i] : exp_minus_1(x[i]);
  }
  return to;
}

/// The sums over `count` elements of K terms, which `term(i, n, sums)` adds for n elements from i on, a vector at most.
template <class T, int K, class Term>
std::array<T, K> sum_of_terms(std::int64_t count, const Term& term) {
  Vec<T> sums[K];
  const std::int64_t whole = count / kLanes<T>;
  sum_rows<T, K>(
      whole, [&](std::int64_t v, Vec<T>* s) { term(v * kLanes<T>, kLanes<T>, s); }, sums);
  if (const auto rest = static_cast<int>(count % kLanes<T>); rest != 0) {
    term(whole * kLanes<T>, rest, sums);
  }
  std::array<T, K> totals;
  for (int k = 0; k < K; ++k) {
    totals[static_cast<std::size_t>(k)] = sum_of_lanes<T>(sums[k]);
  }
  return totals;
}

/// The first `n` lanes of v, the rest zero.
template <class T>
Vec<T> first_lanes(Vec<T> v, int n) {
  for (int lane = n; lane < kLanes<T>; ++lane) {
    v[lane] = 0;
  }
  return v;
}

template <class T>
Moments block_moments(const T* z, std::int64_t count) {
  const T sum = sum_of_terms<T, 1>(count, [&](std::int64_t i, int n, Vec<T>* s) { s[0] += load_first(z + i, n); })[0];
  const T mean = sum / static_cast<T>(count);
  const T squares = sum_of_terms<T, 1>(count, [&](std::int64_t i, int n, Vec<T>* s) {
    const Vec<T> d = first_lanes<T>(load_first(z + i, n) - mean, n);
    s[0] += d * d;
  })[0];
  return {static_cast<double>(count), static_cast<double>(mean), static_cast<double>(squares)};
}

template <class T>
void statistics(const Layer<T>& layer, const LayerNormForward& a) {
  std::vector<Moments> parts(static_cast<std::size_t>(layer.samples * layer.blocks));
  for_each_block(layer, [&](std::int64_t task, const Block& b) {
    std::array<T, kSampleBlock> buffer;
    const T* z = activated(layer.x + b.sample * layer.size + b.begin, b.count, layer.elu, buffer);
    parts[static_cast<std::size_t>(task)] = block_moments(z, b.count);
  });
  for (std::int64_t n = 0; n < layer.samples; ++n) {
    Moments whole;
    for (std::int64_t block = 0; block < layer.blocks; ++block) {
      const Moments& part = parts[static_cast<std::size_t>(n * layer.blocks + block)];
      whole.merge(part.count, part.mean, part.squares);
    }
    a.mean.mutable_data<T>()[n] = static_cast<T>(whole.mean);
    a.inverse_deviation.mutable_data<T>()[n] = static_cast<T>(1 / std::sqrt(whole.squares / whole.count + a.epsilon));
  }
}

template <class T>
void layer_norm_forward_as(const LayerNormForward& a) {
  const Layer<T> layer(a);
  statistics(layer, a);
  for_each_block(layer, [&](std::int64_t /*task*/, const Block& b) {
    std::array<T, kSampleBlock> buffer;
    const std::int64_t first = b.sample * layer.size + b.begin;
    const T* z = activated(layer.x + first, b.count, layer.elu, buffer);
    const T* gamma = layer.gamma + b.begin;
    const T* beta = layer.beta + b.begin;
    const T mean = a.mean.data<T>()[b.sample];
    const T inverse = a.inverse_deviation.data<T>()[b.sample];
    T* out = a.out.mutable_data<T>() + first;
    for (std::int64_t i = 0; i < b.count; ++i) {
      out[i] = (z[i] - mean) * inverse * gamma[i] + beta[i];
    }
  });
}

/// Means over a sample of g = dout * gamma and of g * n, n being the normalised values.
struct GradientMeans {
  double g = 0;
  double product = 0;
};

template <class T>
std::vector<GradientMeans> gradient_means(const Layer<T>& layer, const LayerNormBackward& a) {
  std::vector<GradientMeans> parts(static_cast<std::size_t>(layer.samples * layer.blocks));
  for_each_block(layer, [&](std::int64_t task, const Block& b) {
    std::array<T, kSampleBlock> buffer;
    const std::int64_t first = b.sample * layer.size + b.begin;
    const T* z = activated(layer.x + first, b.count, layer.elu, buffer);
    const T* dout = a.dout.data<T>() + first;
    const T* gamma = layer.gamma + b.begin;
    const T mean = a.forward.mean.data<T>()[b.sample];
    const T inverse = a.forward.inverse_deviation.data<T>()[b.sample];
    const auto sums = sum_of_terms<T, 2>(b.count, [&](std::int64_t i, int n, Vec<T>* s) {
      const Vec<T> g = load_first(dout + i, n) * load_first(gamma + i, n);
      s[0] += g;
      s[1] += first_lanes<T>(g * ((load_first(z + i, n) - mean) * inverse), n);
    });
    parts[static_cast<std::size_t>(task)] = {static_cast<double>(sums[0]), static_cast<double>(sums[1])};
  });
  std::vector<GradientMeans> means(static_cast<std::size_t>(layer.samples));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    GradientMeans& of_sample = means[i / static_cast<std::size_t>(layer.blocks)];
    of_sample.g += parts[i].g / static_cast<double>(layer.size);
    of_sample.product += parts[i].product / static_cast<double>(layer.size);
  }
  return means;
}

/// What one sample's gradient depends on beside its elements.
template <class T>
struct SampleTerms {
  T mean, inverse, g, product;
};

/// `count` elements of one sample: adds to dgamma and dbeta, writes dx.
template <class T, bool elu>
void sample_backward(const T* z, const T* gamma, const SampleTerms<T>& s, std::int64_t count, const T* dout, T* dx,
                     T* __restrict dgamma, T* __restrict dbeta) {
#pragma GCC ivdep  // dx may be dout: the same element, so that vectors are as good
  for (std::int64_t i = 0; i < count; ++i) {
    const T n = (z[i] - s.mean) * s.inverse;
    const T d = dout[i];
    dgamma[i] += d * n;
    dbeta[i] += d;
    const T dz = s.inverse * (d * gamma[i] - s.g - n * s.product);
    dx[i] = elu && !(z[i] > 0) ? dz * (z[i] + 1) : dz;
  }
}

/// Elements of a sample per task: sixteen tasks where a sample is small.
std::int64_t elements_per_task(std::int64_t size) {
  constexpr std::int64_t kLeast = 64;
  return std::clamp((size + 15) / 16, kLeast, kSampleBlock);
}

template <class T>
void layer_norm_backward_as(const LayerNormBackward& a) {
  const Layer<T> layer(a.forward);
  const std::vector<GradientMeans> means = gradient_means(layer, a);
  parallel_ranges(layer.size, elements_per_task(layer.size), [&](std::int64_t begin, std::int64_t end) {
    std::array<T, kSampleBlock> buffer;
    const std::int64_t count = end - begin;
    T* dgamma = a.dgamma.mutable_data<T>() + begin;
    T* dbeta = a.dbeta.mutable_data<T>() + begin;
    std::fill_n(dgamma, count, T{0});
    std::fill_n(dbeta, count, T{0});
    for (std::int64_t n = 0; n < layer.samples; ++n) {
      const GradientMeans& m = means[static_cast<std::size_t>(n)];
      const SampleTerms<T> terms{a.forward.mean.data<T>()[n], a.forward.inverse_deviation.data<T>()[n],
                                 static_cast<T>(m.g), static_cast<T>(m.product)};
      const std::int64_t first = n * layer.size + begin;
      const T* z = activated(layer.x + first, count, layer.elu, buffer);
      const T* dout = a.dout.data<T>() + first;
      T* dx = a.dx.mutable_data<T>() + first;
      const auto run = layer.elu ? sample_backward<T, true> : sample_backward<T, false>;
      run(z, layer.gamma + begin, terms, count, dout, dx, dgamma, dbeta);
    }
  });
}

}  // namespace

void layer_norm_forward(const LayerNormForward& a) {
  if (a.x.dtype() == DType::bf16) {
    LayerNormForward wide = a;
    return in_float({&wide.x}, {&wide.out}, [&] { cpu::layer_norm_forward(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { layer_norm_forward_as<T>(a); });
}

void layer_norm_backward(const LayerNormBackward& a) {
  if (a.forward.x.dtype() == DType::bf16) {
    LayerNormBackward wide = a;
    return in_float({&wide.forward.x, &wide.dout}, {&wide.dx}, [&] { cpu::layer_norm_backward(wide); });
  }
  dispatch_float(a.forward.x.dtype(), [&]<class T>() { layer_norm_backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
