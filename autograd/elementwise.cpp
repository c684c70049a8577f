#include "kernels/elementwise.h"

#include "autograd/functions.h"

namespace earmark {

Variable add(const Variable& a, const Variable& b) {
  const Tensor out = empty_like(a.value());
  kernels::add(a.value(), b.value(), out);
  return record("add", out, {a, b}, [](const Tensor& dout) { return std::vector{dout, dout}; });
}

Variable sub(const Variable& a, const Variable& b) {
  const Tensor out = empty_like(a.value());
  kernels::sub(a.value(), b.value(), out);
  return record("sub", out, {a, b}, [](const Tensor& dout) {
    const Tensor db = empty_like(dout);
    kernels::scale(dout, -1, db);
    return std::vector{dout, db};
  });
}

Variable mul(const Variable& a, const Variable& b) {
  const Tensor out = empty_like(a.value());
  kernels::mul(a.value(), b.value(), out);
  return record("mul", out, {a, b}, [x = a.value(), y = b.value()](const Tensor& dout) {
    const Tensor dx = empty_like(x);
    const Tensor dy = empty_like(y);
    kernels::mul(dout, y, dx);
    kernels::mul(dout, x, dy);
    return std::vector{dx, dy};
  });
}

Variable scale(const Variable& x, double factor) {
  const Tensor out = empty_like(x.value());
  kernels::scale(x.value(), factor, out);
  return record("scale", out, {x}, [factor](const Tensor& dout) {
    const Tensor dx = reuse(dout);
    kernels::scale(dout, factor, dx);
    return std::vector{dx};
  });
}

Variable cast(const Variable& x, DType dtype) {
  const auto converted = [](const Tensor& from, DType type) {
    const Tensor to(from.shape(), type, from.device());
    kernels::cast(from, to);
    return to;
  };
  const DType before = x.value().dtype();
  if (dtype == before) {
    return x;
  }
  return record("cast", converted(x.value(), dtype), {x},
                [converted, before](const Tensor& dout) { return std::vector{converted(dout, before)}; });
}

Variable relu(const Variable& x) {
  const Tensor out = empty_like(x.value());
  kernels::relu(x.value(), out);
  return record("relu", out, {x}, [out](const Tensor& dout) {
    const Tensor dx = reuse(dout);
    kernels::relu_backward(out, dout, dx);
    return std::vector{dx};
  });
}

Variable elu(const Variable& x) {
  const Tensor out = empty_like(x.value());
  kernels::elu(x.value(), out);
  return record("elu", out, {x}, [out](const Tensor& dout) {
    const Tensor dx = reuse(dout);
    kernels::elu_backward(out, dout, dx);
    return std::vector{dx};
  });
}

}  // namespace earmark
