#include "kernels/spectral_temporal_attention.h"

#include "kernels/cpu/attention_slab.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

struct Extents {
  std::int64_t n, f, t, c;
  explicit Extents(const Tensor& x) : n(x.dim(0)), f(x.dim(1)), t(x.dim(2)), c(x.dim(3)) {}
};

/// to (columns, rows) = from (rows, columns), in squares that stay in L1.
template <class T>
void transpose(const T* from, std::int64_t rows, std::int64_t columns, T* to) {
  constexpr std::int64_t kSquare = 16;
  for (std::int64_t r0 = 0; r0 < rows; r0 += kSquare) {
    for (std::int64_t c = 0; c < columns; ++c) {
      for (std::int64_t r = r0; r < std::min(rows, r0 + kSquare); ++r) {
        to[c * rows + r] = from[r * columns + c];
      }
    }
  }
}

/// (C, K) weights as (K, C), so that a vector holds neighbouring channels.
template <class T>
Tensor transposed(const Tensor& w) {
  const Tensor out({w.dim(1), w.dim(0)}, w.dtype());
  transpose(w.data<T>(), w.dim(0), w.dim(1), out.mutable_data<T>());
  return out;
}

/// The slab's vectors at (f, t) in plain memory.
template <class T>
struct Plain {
  const T* data;
  std::int64_t row;
  std::int64_t channels;
  int lanes;
  Vec<T> operator()(std::int64_t f, std::int64_t t) const { return load_first(data + f * row + t * channels, lanes); }
};
/// The same where all lanes are valid: no branch in the loop.
template <class T>
struct Full {
  const T* data;
  std::int64_t row;
  std::int64_t channels;
  Vec<T> operator()(std::int64_t f, std::int64_t t) const { return load(data + f * row + t * channels); }
};

/// Calls f with the fastest functor over the slab.
template <class T, class F>
void with_slab(const T* data, const Extents& e, int lanes, const F& f) {
  if (lanes == kLanes<T>) {
    f(Full<T>{data, e.t * e.c, e.c});
  } else {
    f(Plain<T>{data, e.t * e.c, e.c, lanes});
  }
}

template <class T>
struct Weights {
  Tensor by_column;  // (T, C)
  Tensor by_row;     // (F, C)
  explicit Weights(const AttentionForward& a)
      : by_column(transposed<T>(a.w_spectral)), by_row(transposed<T>(a.w_temporal)) {}
};

/// One sample, one vector of channels from c on.
template <class T>
void forward_slab(const AttentionForward& a, const Weights<T>& w, const Extents& e, std::int64_t n, std::int64_t c) {
  thread_local SlabVectors<T> gate;
  thread_local SlabVectors<T> weight;
  const auto lanes = static_cast<int>(std::min<std::int64_t>(kLanes<T>, e.c - c));
  load_columns(w.by_column.template data<T>() + c, e.t, e.c, lanes, weight.temporal);
  load_columns(w.by_row.template data<T>() + c, e.f, e.c, lanes, weight.spectral);
  gate.reset(e.f, e.t);
  T* out = a.out.mutable_data<T>() + n * e.f * e.t * e.c + c;
  with_slab(a.x.data<T>() + n * e.f * e.t * e.c + c, e, lanes, [&](const auto& x) {
    project<T>(x, e.f, e.t, weight.temporal.data(), weight.spectral.data(), gate);
    if (a.tanh_logits) {
      tanh_all<T>(gate.spectral);
      tanh_all<T>(gate.temporal);
    }
    softmax<T>(gate.spectral);
    softmax<T>(gate.temporal);
    for (std::int64_t f = 0; f < e.f; ++f) {
      const Vec<T> row = gate.spectral[static_cast<std::size_t>(f)] * static_cast<T>(a.scale);
      for (std::int64_t t = 0; t < e.t; ++t) {
        store_first<T>(out + (f * e.t + t) * e.c, x(f, t) * (row * gate.temporal[static_cast<std::size_t>(t)]), lanes);
      }
    }
  });
  store_columns<T>(gate.spectral, e.c, lanes, a.spectral.mutable_data<T>() + n * e.f * e.c + c);
  store_columns<T>(gate.temporal, e.c, lanes, a.temporal.mutable_data<T>() + n * e.t * e.c + c);
}

template <class T>
void forward_as(const AttentionForward& a) {
  const Extents e(a.x);
  const Weights<T> weights(a);
  const std::int64_t vectors = (e.c + kLanes<T> - 1) / kLanes<T>;
  parallel_for(e.n, [&](std::int64_t n) {
    for (std::int64_t v = 0; v < vectors; ++v) {
      forward_slab<T>(a, weights, e, n, v * kLanes<T>);
    }
  });
}

/// Vectors of one slab in the backward pass.
template <class T>
struct BackwardVectors {
  SlabVectors<T> weight;    // by column and by row
  SlabVectors<T> gate;      // the two softmax vectors
  SlabVectors<T> logits;    // before tanh
  SlabVectors<T> gradient;  // of the gates, then of the logits
  SlabVectors<T> dweight;   // spectral: by row (F), temporal: by column (T)
};

/// dx = dout * gates + dl_s * w_t + dl_t * w_f, and the slab's share of both weight gradients.
template <class T, class X, class D>
void backward_elements(const X& x, const D& dout, const Extents& e, T scale, BackwardVectors<T>& v, int lanes, T* dx) {
  for (std::int64_t f = 0; f < e.f; ++f) {
    const auto i = static_cast<std::size_t>(f);
    const Vec<T> row = v.gate.spectral[i] * scale;
    const Vec<T> dlogit = v.gradient.spectral[i];
    const Vec<T> weight = v.weight.spectral[i];
    Vec<T> sum{};
    for (std::int64_t t = 0; t < e.t; ++t) {
      const auto j = static_cast<std::size_t>(t);
      const Vec<T> value = x(f, t);
      const Vec<T> dlogit_t = v.gradient.temporal[j];
      sum += value * dlogit_t;
      v.dweight.temporal[j] += value * dlogit;
      store_first<T>(dx + (f * e.t + t) * e.c,
                     dout(f, t) * (row * v.gate.temporal[j]) + dlogit * v.weight.temporal[j] + dlogit_t * weight,
                     lanes);
    }
    v.dweight.spectral[i] += sum;
  }
}

/// Adds to `dby_column` (T, C) and `dby_row` (F, C).
template <class T>
void backward_slab(const AttentionBackward& b, const Weights<T>& w, const Extents& e, std::int64_t n, std::int64_t c,
                   T* dby_column, T* dby_row) {
  thread_local BackwardVectors<T> v;
  const AttentionForward& a = b.forward;
  const auto lanes = static_cast<int>(std::min<std::int64_t>(kLanes<T>, e.c - c));
  const std::int64_t at = n * e.f * e.t * e.c + c;
  load_columns(w.by_column.template data<T>() + c, e.t, e.c, lanes, v.weight.temporal);
  load_columns(w.by_row.template data<T>() + c, e.f, e.c, lanes, v.weight.spectral);
  load_columns(a.temporal.data<T>() + n * e.t * e.c + c, e.t, e.c, lanes, v.gate.temporal);
  load_columns(a.spectral.data<T>() + n * e.f * e.c + c, e.f, e.c, lanes, v.gate.spectral);
  load_columns(dby_column + c, e.t, e.c, lanes, v.dweight.temporal);
  load_columns(dby_row + c, e.f, e.c, lanes, v.dweight.spectral);
  v.gradient.reset(e.f, e.t);
  const T scale = static_cast<T>(a.scale);
  with_slab(a.x.data<T>() + at, e, lanes, [&](const auto& x) {
    with_slab(b.dout.data<T>() + at, e, lanes, [&](const auto& dout) {
      const auto product = [&](std::int64_t f, std::int64_t t) { return x(f, t) * dout(f, t) * scale; };
      project<T>(product, e.f, e.t, v.gate.temporal.data(), v.gate.spectral.data(), v.gradient);
      if (a.tanh_logits) {
        v.logits.reset(e.f, e.t);
        project<T>(x, e.f, e.t, v.weight.temporal.data(), v.weight.spectral.data(), v.logits);
      }
      softmax_backward<T>(v.gate.spectral, v.gradient.spectral, a.tanh_logits ? &v.logits.spectral : nullptr);
      softmax_backward<T>(v.gate.temporal, v.gradient.temporal, a.tanh_logits ? &v.logits.temporal : nullptr);
      backward_elements<T>(x, dout, e, scale, v, lanes, b.dx.mutable_data<T>() + at);
    });
  });
  store_columns<T>(v.dweight.temporal, e.c, lanes, dby_column + c);
  store_columns<T>(v.dweight.spectral, e.c, lanes, dby_row + c);
}

template <class T>
void backward_as(const AttentionBackward& b) {
  constexpr std::int64_t kSamplesPerTask = 4;
  const Extents e(b.forward.x);
  const Weights<T> weights(b.forward);
  const std::int64_t vectors = (e.c + kLanes<T> - 1) / kLanes<T>;
  const std::int64_t tasks = (e.n + kSamplesPerTask - 1) / kSamplesPerTask;
  const std::int64_t size = (e.t + e.f) * e.c;
  const Tensor partials = Tensor::zeros({tasks + 1, size}, dtype_of<T>);
  T* partial = partials.mutable_data<T>();
  parallel_for(tasks, [&](std::int64_t task) {
    T* mine = partial + (task + 1) * size;
    for (std::int64_t n = task * kSamplesPerTask; n < std::min(e.n, (task + 1) * kSamplesPerTask); ++n) {
      for (std::int64_t v = 0; v < vectors; ++v) {
        backward_slab<T>(b, weights, e, n, v * kLanes<T>, mine, mine + e.t * e.c);
      }
    }
  });
  for (std::int64_t task = 1; task <= tasks; ++task) {
    for (std::int64_t i = 0; i < size; ++i) {
      partial[i] += partial[task * size + i];
    }
  }
  transpose(partial, e.t, e.c, b.dw_spectral.mutable_data<T>());
  transpose(partial + e.t * e.c, e.f, e.c, b.dw_temporal.mutable_data<T>());
}

}  // namespace

void spectral_temporal_attention_forward(const AttentionForward& a) {
  dispatch_float(a.x.dtype(), [&]<class T>() { forward_as<T>(a); });
}

void spectral_temporal_attention_backward(const AttentionBackward& a) {
  dispatch_float(a.forward.x.dtype(), [&]<class T>() { backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
