#include "kernels/conv.h"

#include <type_traits>

#include "kernels/cpu/conv_bf16_pairs.h"
#include "kernels/cpu/conv_direct.h"
#include "kernels/cpu/conv_pairs.h"
#include "kernels/cpu/conv_tiles.h"
#include "kernels/cpu/conv_winograd.h"
#include "kernels/cpu/in_float.h"
#include "kernels/dispatch_type.h"

namespace earmark::kernels::cpu {
namespace {

template <class T>
const T* data_or_null(const Tensor& t) {
  return t ? t.data<T>() : nullptr;
}

/// Whether this call's operands are rounded to bf16 for the tile unit.
template <class T>
bool in_tiles(const ConvExtents& e) {
  return std::is_same_v<T, float> && bf16_products_used() && has_tile_unit() && tiles_pay(e);
}

/// Whether they are for products of pairs.
template <class T>
bool in_bf16_pairs(const ConvExtents& e) {
  return std::is_same_v<T, float> && bf16_products_used() && !has_tile_unit() && bf16_pairs_pay(e);
}

/// A forward pass made ready: any way to compute it.
template <class T>
struct Prepared final : PreparedConv {
  std::shared_ptr<const TileWalk> tiles;
  std::shared_ptr<const Bf16PairWalk> bf16_pairs;
  bool winograd;
  bool pairs;
  Panels<T> panels;
  std::vector<PixelClass> classes;

  Prepared(const Tensor& weight, const ConvExtents& e) : winograd(winograd_pays(e)), pairs(pairs_fit<T>(e)) {
    if (in_tiles<T>(e)) {
      tiles = tile_forward(e, weight.data<float>());
    } else if (in_bf16_pairs<T>(e)) {
      bf16_pairs = bf16_pair_forward(e, weight);
    } else if (winograd) {
      panels = winograd_forward_panels<T>(weight);
    } else {
      panels = pack_forward<T>(pairs ? paired_weight<T>(weight, e.options.stride_t) : weight);
      classes = forward_pixels(pairs ? paired_extents(e) : e);
    }
  }
};

template <class T>
void forward_with(const Prepared<T>& p, const ConvExtents& e, const ConvForward& a) {
  const T* bias = data_or_null<T>(a.bias);
  const T* add = data_or_null<T>(a.add);
  T* out = a.out.mutable_data<T>();
  if constexpr (std::is_same_v<T, float>) {
    if (p.tiles) {
      tile_convolve({a.x.data<T>(), out, e.n, bias, add, a.relu}, *p.tiles);
      return;
    }
    if (p.bf16_pairs) {
      bf16_pair_convolve({a.x.data<T>(), out, e.n, bias, add, a.relu}, *p.bf16_pairs);
      return;
    }
  }
  if (p.winograd) {
    winograd_convolve<T>({a.x.data<T>(), out, e.n, e.f, e.t, bias, add, a.relu}, p.panels);
    return;
  }
  const auto walk = [&](const T* column_bias) {
    const std::int64_t out_sample = e.out_f * e.out_t * e.out;
    run_walk<T>({a.x.data<T>(), e.f * e.t * e.in, out, out_sample, e.n, column_bias, add, a.relu}, p.classes, p.panels);
  };
  if (p.pairs) {
    walk(PairedBias<T>(bias, e.out).data());
  } else {
    walk(bias);
  }
}

template <class T>
void conv_forward_as(const ConvForward& a) {
  const ConvExtents e(a.x.shape(), a.weight.shape(), a.options);
  if (a.prepared) {
    forward_with(dynamic_cast<const Prepared<T>&>(*a.prepared), e, a);
  } else {
    forward_with(Prepared<T>(a.weight, e), e, a);
  }
}

template <class T>
void input_gradient(const ConvBackward& a, const ConvExtents& e) {
  const T* dout = a.dout.data<T>();
  T* dx = a.dx.mutable_data<T>();
  if constexpr (std::is_same_v<T, float>) {
    if (in_tiles<T>(e)) {
      tile_convolve({dout, dx, e.n, nullptr, nullptr, false}, *tile_backward(e, a.weight.data<T>()));
      return;
    }
    if (in_bf16_pairs<T>(e)) {
      bf16_pair_convolve({dout, dx, e.n, nullptr, nullptr, false}, *bf16_pair_backward(e, a.weight));
      return;
    }
  }
  if (winograd_pays(e)) {
    winograd_convolve(WinogradMap<T>{dout, dx, e.n, e.f, e.t, nullptr, nullptr, false},
                      winograd_backward_panels<T>(a.weight));
  } else {
    const Walk<T> walk{dout, e.out_f * e.out_t * e.out, dx, e.f * e.t * e.in, e.n, nullptr, nullptr, false};
    run_walk(walk, backward_pixels(e), pack_backward<T>(a.weight));
  }
}

template <class T>
void kernel_gradient(const ConvBackward& a, const ConvExtents& e) {
  const T* x = a.x.data<T>();
  const T* dout = a.dout.data<T>();
  T* dweight = a.dweight.mutable_data<T>();
  if constexpr (std::is_same_v<T, float>) {
    if (in_tiles<T>(e) && tiles_pay_for_weights(e)) {
      tile_weight_gradient(e, x, dout, dweight);
      return;
    }
  }
  if (winograd_pays_for_weights(e)) {
    winograd_weight_gradient(e, x, dout, dweight);
  } else {
    weight_gradient(e, x, dout, dweight);
  }
}

template <class T>
void conv_backward_as(const ConvBackward& a) {
  const ConvExtents e(a.x.shape(), a.weight.shape(), a.options);
  if (a.dx) {
    input_gradient<T>(a, e);
  }
  if (a.dweight) {
    kernel_gradient<T>(a, e);
  }
  if (a.dbias) {
    bias_gradient(a.dout.data<T>(), e.n * e.out_f * e.out_t, e.out, a.dbias.mutable_data<T>());
  }
}

}  // namespace

std::shared_ptr<const PreparedConv> prepare_conv(const Tensor& weight, const Shape& x, const ConvOptions& options) {
  const ConvExtents e(x, weight.shape(), options);
  return dispatch_float(weight.dtype(), [&]<class T>() -> std::shared_ptr<const PreparedConv> {
    return std::make_shared<Prepared<T>>(weight, e);
  });
}

void conv_forward(const ConvForward& a) {
  if (a.x.dtype() == DType::bf16) {
    ConvForward wide = a;
    return in_float({&wide.x, &wide.weight, &wide.bias, &wide.add}, {&wide.out}, [&] { cpu::conv_forward(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { conv_forward_as<T>(a); });
}

void conv_backward(const ConvBackward& a) {
  if (a.x.dtype() == DType::bf16) {
    ConvBackward wide = a;
    return in_float({&wide.x, &wide.weight, &wide.dout}, {&wide.dx, &wide.dweight, &wide.dbias},
                    [&] { cpu::conv_backward(wide); });
  }
  dispatch_float(a.x.dtype(), [&]<class T>() { conv_backward_as<T>(a); });
}

}  // namespace earmark::kernels::cpu
