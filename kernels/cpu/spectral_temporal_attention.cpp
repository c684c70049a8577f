#include "kernels/spectral_temporal_attention.h"

#include "kernels/cpu/attention_slab.h"
#include "kernels/cpu/in_float.h"
#include "kernels/cpu/transpose.h"
#include "kernels/dispatch_type.h"
#include "kernels/parallel.h"

namespace earmark::kernels::cpu {
namespace {

struct Extents {
  std::int64_t n, f, t, c;
  explicit Extents(const Tensor& x) : n(x.dim(0)), f(x.dim(1)), t(x.dim(2)), c(x.dim(3)) {}
};

/// (C, K) weights as (K, C), so that a vector holds neighbouring channels.
template <class T>
Tensor transposed(const Tensor& w) {
  const Tensor out({w.dim(1), w.dim(0)}, w.dtype());
  transpose(w.data<T>(), w.dim(1), w.dim(0), w.dim(1), out.mutable_data<T>(), w.dim(0));
  return out;
}

/// The slab's vectors at (f, t) in plain memory.
template <class T, LaneCount L>
struct Slab {
  const T* data;
  std::int64_t row;
  std::int64_t channels;
  int lanes;

  Vec<T> operator()(std::int64_t f, std::int64_t t) const {
    return load_lanes<L>(data + f * row + t * channels, lanes);
  }
};

/// max(0, x * slope + offset [+ residual]).
template <class T, LaneCount L, bool Residual>
struct Rectified {
  Slab<T, L> x;
  Slab<T, L> residual;
  Vec<T> slope;
  Vec<T> offset;

  Vec<T> operator()(std::int64_t f, std::int64_t t) const {
    Vec<T> sum = x(f, t) * slope + offset;
    if constexpr (Residual) {
      sum += residual(f, t);
    }
    return relu<T>(sum);
  }
};

template <class T, LaneCount L>
Slab<T, L> slab_of(const Tensor& tensor, const Extents& e, std::int64_t at, int lanes) {
  return {tensor.data<T>() + at, e.t * e.c, e.c, lanes};
}

/// Calls f with what gives the slab's X at (f, t): the memory itself or the prologue over it.
template <class T, LaneCount L, class F>
void with_input(const AttentionForward& a, const Extents& e, std::int64_t at, std::int64_t c, int lanes, const F& f) {
  const Slab<T, L> x = slab_of<T, L>(a.x, e, at, lanes);
  if (!a.prologue.slope) {
    return f(x);
  }
  const Vec<T> slope = load_first(a.prologue.slope.data<T>() + c, lanes);
  const Vec<T> offset = load_first(a.prologue.offset.data<T>() + c, lanes);
  if (a.prologue.residual) {
    f(Rectified<T, L, true>{x, slab_of<T, L>(a.prologue.residual, e, at, lanes), slope, offset});
  } else {
    f(Rectified<T, L, false>{x, x, slope, offset});
  }
}

template <class T>
struct Weights {
  Tensor by_column;  // (T, C)
  Tensor by_row;     // (F, C)
  explicit Weights(const AttentionForward& a)
      : by_column(transposed<T>(a.w_spectral)), by_row(transposed<T>(a.w_temporal)) {}
};

/// out = x * gates. Everything by value or through plain pointers: a store could change what a reference leads to, so
/// that would be read again for every element.
template <class T, LaneCount L, class X>
void apply_gates(const X x, const Extents e, T scale, const Vec<T>* spectral, const Vec<T>* temporal, T* out,
                 int lanes) {
  for (std::int64_t f = 0; f < e.f; ++f, out += e.t * e.c) {
    const Vec<T> row = spectral[f] * scale;
    for (std::int64_t t = 0; t < e.t; ++t) {
      store_lanes<L, T>(out + t * e.c, x(f, t) * (row * temporal[t]), lanes);
    }
  }
}

/// One sample, one vector of channels from c on.
template <class T, LaneCount L>
void forward_slab(const AttentionForward& a, const Weights<T>& w, const Extents& e, std::int64_t n, std::int64_t c) {
  thread_local SlabVectors<T> gate;
  thread_local SlabVectors<T> weight;
  const auto lanes = static_cast<int>(std::min<std::int64_t>(kLanes<T>, e.c - c));
  load_columns(w.by_column.template data<T>() + c, e.t, e.c, lanes, weight.temporal);
  load_columns(w.by_row.template data<T>() + c, e.f, e.c, lanes, weight.spectral);
  gate.reset(e.f, e.t);
  const std::int64_t at = n * e.f * e.t * e.c + c;
  T* out = a.out.mutable_data<T>() + at;
  with_input<T, L>(a, e, at, c, lanes, [&](const auto& x) {
    project<T>(x, e.f, e.t, weight.temporal.data(), weight.spectral.data(), gate);
    if (a.tanh_logits) {
      tanh_all<T>(gate.spectral);
      tanh_all<T>(gate.temporal);
    }
    softmax<T>(gate.spectral);
    softmax<T>(gate.temporal);
    apply_gates<T, L>(x, e, static_cast<T>(a.scale), gate.spectral.data(), gate.temporal.data(), out, lanes);
  });
  store_columns<T>(gate.spectral, e.c, lanes, a.spectral.mutable_data<T>() + n * e.f * e.c + c);
  store_columns<T>(gate.temporal, e.c, lanes, a.temporal.mutable_data<T>() + n * e.t * e.c + c);
}

/// Calls f.operator()<LaneCount>(c) for each vector of channels.
template <class T, class F>
void for_each_vector_of(const Extents& e, const F& f) {
  for (std::int64_t c = 0; c < e.c; c += kLanes<T>) {
    if (c + kLanes<T> <= e.c) {
      f.template operator()<LaneCount::all>(c);
    } else if (e.c - c == kLanes<T> / 2) {
      f.template operator()<LaneCount::half>(c);
    } else {
      f.template operator()<LaneCount::some>(c);
    }
  }
}

template <class T>
void attention_forward_as(const AttentionForward& a) {
  const Extents e(a.x);
  const Weights<T> weights(a);
  parallel_for(e.n, [&](std::int64_t n) {
    for_each_vector_of<T>(e, [&]<LaneCount L>(std::int64_t c) { forward_slab<T, L>(a, weights, e, n, c); });
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

/// Where one task adds its share of the gradients that belong to no sample, as (K, C).
template <class T>
struct Shares {
  T* by_column;  // T rows
  T* by_row;     // F rows
  T* sum;        // one row
  T* product;    // one row
  static std::int64_t rows(const Extents& e) { return e.t + e.f + 2; }
  Shares(T* base, const Extents& e)
      : by_column(base), by_row(base + e.t * e.c), sum(by_row + e.f * e.c), product(sum + e.c) {}
};

/// Takes dX as it comes, a row at a time: stores it, or, behind a prologue, what ReLU lets through, and sums that up.
template <class T, LaneCount L, bool Prologue>
struct Sink {
  T* dx;
  Slab<T, L> x;
  Vec<T> centre;
  Vec<T> sum{};
  Vec<T> product{};

  void operator()(std::int64_t f, std::int64_t t, Vec<T> value, Vec<T> gradient) {
    if constexpr (Prologue) {
      gradient = value <= 0 ? Vec<T>{} : gradient;
      sum += gradient;
      product += gradient * (x(f, t) - centre);
    }
    store_lanes<L, T>(dx + f * x.row + t * x.channels, gradient, x.lanes);
  }
};

/// dX = dout * gates + dl_s * w_t + dl_t * w_f, and the slab's share of both weight gradients. By value and through
/// plain pointers, as in apply_gates.
template <class T, class X, class D, class S>
void slab_backward(const X x, const D dout, const Extents e, T scale, BackwardVectors<T>& v, S& sink) {
  const Vec<T>* gate = v.gate.temporal.data();
  const Vec<T>* weight_t = v.weight.temporal.data();
  const Vec<T>* gradient = v.gradient.temporal.data();
  Vec<T>* dweight = v.dweight.temporal.data();
  for (std::int64_t f = 0; f < e.f; ++f) {
    const auto i = static_cast<std::size_t>(f);
    const Vec<T> row = v.gate.spectral[i] * scale;
    const Vec<T> dlogit = v.gradient.spectral[i];
    const Vec<T> weight = v.weight.spectral[i];
    Vec<T> sum{};
    S row_sink = sink;
    row_sink.sum = Vec<T>{};
    row_sink.product = Vec<T>{};
    for (std::int64_t t = 0; t < e.t; ++t) {
      const Vec<T> value = x(f, t);
      const Vec<T> dlogit_t = gradient[t];
      sum += value * dlogit_t;
      dweight[t] += value * dlogit;
      row_sink(f, t, value, dout(f, t) * (row * gate[t]) + dlogit * weight_t[t] + dlogit_t * weight);
    }
    v.dweight.spectral[i] += sum;
    sink.sum += row_sink.sum;
    sink.product += row_sink.product;
  }
}

/// From x, which gives X, to everything of one slab. The gates and weights are in `v` already.
template <class T, class X, class D, class S>
void backward_from(const AttentionForward& a, const X& x, const D& dout, const Extents& e, BackwardVectors<T>& v,
                   S& sink) {
  const T scale = static_cast<T>(a.scale);
  const auto product = [&](std::int64_t f, std::int64_t t) { return x(f, t) * dout(f, t) * scale; };
  v.gradient.reset(e.f, e.t);
  project<T>(product, e.f, e.t, v.gate.temporal.data(), v.gate.spectral.data(), v.gradient);
  if (a.tanh_logits) {
    v.logits.reset(e.f, e.t);
    project<T>(x, e.f, e.t, v.weight.temporal.data(), v.weight.spectral.data(), v.logits);
  }
  softmax_backward<T>(v.gate.spectral, v.gradient.spectral, a.tanh_logits ? &v.logits.spectral : nullptr);
  softmax_backward<T>(v.gate.temporal, v.gradient.temporal, a.tanh_logits ? &v.logits.temporal : nullptr);
  slab_backward<T>(x, dout, e, scale, v, sink);
}

template <class T, LaneCount L, bool Prologue>
void backward_slab(const AttentionBackward& b, const Weights<T>& w, const Extents& e, std::int64_t n, std::int64_t c,
                   const Shares<T>& shares) {
  thread_local BackwardVectors<T> v;
  const AttentionForward& a = b.forward;
  const auto lanes = static_cast<int>(std::min<std::int64_t>(kLanes<T>, e.c - c));
  const std::int64_t at = n * e.f * e.t * e.c + c;
  load_columns(w.by_column.template data<T>() + c, e.t, e.c, lanes, v.weight.temporal);
  load_columns(w.by_row.template data<T>() + c, e.f, e.c, lanes, v.weight.spectral);
  load_columns(a.temporal.data<T>() + n * e.t * e.c + c, e.t, e.c, lanes, v.gate.temporal);
  load_columns(a.spectral.data<T>() + n * e.f * e.c + c, e.f, e.c, lanes, v.gate.spectral);
  load_columns(shares.by_column + c, e.t, e.c, lanes, v.dweight.temporal);
  load_columns(shares.by_row + c, e.f, e.c, lanes, v.dweight.spectral);
  const Slab<T, L> raw = slab_of<T, L>(a.x, e, at, lanes);
  const Slab<T, L> dout = slab_of<T, L>(b.dout, e, at, lanes);
  const Vec<T> centre = Prologue ? load_first(b.centre.data<T>() + c, lanes) : Vec<T>{};
  Sink<T, L, Prologue> sink{b.dx.mutable_data<T>() + at, raw, centre};
  with_input<T, L>(a, e, at, c, lanes, [&](const auto& x) { backward_from<T>(a, x, dout, e, v, sink); });
  store_columns<T>(v.dweight.temporal, e.c, lanes, shares.by_column + c);
  store_columns<T>(v.dweight.spectral, e.c, lanes, shares.by_row + c);
  store_first<T>(shares.sum + c, load_first(shares.sum + c, lanes) + sink.sum, lanes);
  store_first<T>(shares.product + c, load_first(shares.product + c, lanes) + sink.product, lanes);
}

template <class T>
void attention_backward_as(const AttentionBackward& b) {
  constexpr std::int64_t kSamplesPerTask = 4;
  const Extents e(b.forward.x);
  const Weights<T> weights(b.forward);
  const bool prologue = static_cast<bool>(b.forward.prologue.slope);
  const std::int64_t tasks = (e.n + kSamplesPerTask - 1) / kSamplesPerTask;
  const std::int64_t size = Shares<T>::rows(e) * e.c;
  const Tensor partials = Tensor::zeros({tasks + 1, size}, dtype_of<T>);
  T* partial = partials.mutable_data<T>();
  parallel_for(tasks, [&](std::int64_t task) {
    const Shares<T> mine(partial + (task + 1) * size, e);
    for (std::int64_t n = task * kSamplesPerTask; n < std::min(e.n, (task + 1) * kSamplesPerTask); ++n) {
      for_each_vector_of<T>(e, [&]<LaneCount L>(std::int64_t c) {
        if (prologue) {
          backward_slab<T, L, true>(b, weights, e, n, c, mine);
        } else {
          backward_slab<T, L, false>(b, weights, e, n, c, mine);
        }
      });
    }
  });
  for (std::int64_t task = 1; task <= tasks; ++task) {
    for (std::int64_t i = 0; i < size; ++i) {
      partial[i] += partial[task * size + i];
    }
  }
  const Shares<T> total(partial, e);
  transpose(total.by_column, e.c, e.t, e.c, b.dw_spectral.mutable_data<T>(), e.t);
  transpose(total.by_row, e.c, e.f, e.c, b.dw_temporal.mutable_data<T>(), e.f);
  if (prologue) {
    std::copy_n(total.sum, e.c, b.dx_sum.mutable_data<T>());
    std::copy_n(total.product, e.c, b.dx_product.mutable_data<T>());
  }
}

}  // namespace

void spectral_temporal_attention_forward(const AttentionForward& a) {
  if (a.x.dtype() == DType::bf16) {
    AttentionForward wide = a;
    return in_float({&wide.x, &wide.prologue.residual}, {&wide.out},
                    [&] { cpu::spectral_temporal_attention_forward(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { attention_forward_as<T>(a); });
}

void spectral_temporal_attention_backward(const AttentionBackward& a) {
  if (a.dx.dtype() == DType::bf16) {
    AttentionBackward wide = a;
    return in_float({&wide.forward.x, &wide.forward.prologue.residual, &wide.dout}, {&wide.dx},
                    [&] { cpu::spectral_temporal_attention_backward(wide); });
  }
  dispatch_float(a.forward.x.dtype(), [&]<class T>() { attention_backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
