#include "autograd/variable.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "autograd/functions.h"

namespace earmark {
namespace {

Variable leaf(std::vector<double> values, bool requires_grad = true) {
  const auto n = static_cast<std::int64_t>(values.size());
  return Variable(Tensor::from<double>({n}, values), requires_grad);
}

std::vector<double> grad_of(const Variable& v) {
  const auto values = v.grad().values<double>();
  return {values.begin(), values.end()};
}

using Values = std::vector<double>;

TEST(Backward, ADiamondAddsUpWithoutCorruptingEitherPath) {
  const Variable x = leaf({1, 2});
  const Variable y = scale(x, 3);
  // `add` hands one gradient tensor to both inputs; y then gets a second contribution, which must not reach z.
  const Variable z = scale(x, 5);
  const Variable out = sum(add(add(y, z), y));
  out.backward();
  EXPECT_EQ(grad_of(x), Values({11, 11}));
}

TEST(Backward, AValueUsedTwiceByOneOperationGetsBothParts) {
  const Variable x = leaf({3});
  mul(x, x).backward();
  EXPECT_EQ(grad_of(x), Values({6}));
}

TEST(Backward, LeavesOwnTheirGradients) {
  const Variable a = leaf({1, 2});
  const Variable b = leaf({3, 4});
  sum(add(a, b)).backward();
  a.grad().fill(7);  // what clipping does
  EXPECT_EQ(grad_of(b), Values({1, 1}));
}

TEST(Backward, TheSeedIsNotChanged) {
  const Variable x = leaf({1, 2});
  const Tensor seed = Tensor::full({2}, 2, DType::f64);
  relu(scale(x, 2)).backward(seed);
  EXPECT_EQ(grad_of(x), Values({4, 4}));
  EXPECT_EQ(seed.data<double>()[0], 2);
}

TEST(Backward, GradientsAccumulateUntilZeroed) {
  Variable x = leaf({1});
  scale(x, 2).backward();
  scale(x, 5).backward();
  EXPECT_EQ(grad_of(x), Values({7}));
  x.zero_grad();
  EXPECT_FALSE(x.grad());
}

TEST(Backward, AGradientHeldByACallerIsNotOverwritten) {
  const Variable x = leaf({1});
  scale(x, 2).backward();
  const Tensor held = x.grad();
  scale(x, 5).backward();
  EXPECT_EQ(held.item(), 2);
  EXPECT_EQ(grad_of(x), Values({7}));
}

TEST(Backward, AGraphIsConsumedOnce) {
  const Variable x = leaf({1});
  const Variable y = scale(x, 2);
  const Variable out = sum(y);
  out.backward();
  EXPECT_THROW(out.backward(), Error);
  // A fresh operation on a consumed value is refused before any gradient is touched.
  const Variable other = add(scale(x, 4), y);
  EXPECT_THROW(other.backward(), Error);
  EXPECT_EQ(grad_of(x), Values({2}));
}

TEST(Backward, NeedsASeedForMoreThanOneElement) {
  const Variable x = leaf({1, 2});
  EXPECT_THROW(scale(x, 2).backward(), Error);
  EXPECT_THROW(scale(x, 2).backward(Tensor::full({3}, 1, DType::f64)), Error);
  EXPECT_THROW(scale(leaf({1}, false), 2).backward(), Error);
  EXPECT_THROW(Variable().backward(), Error);
}

TEST(Backward, FrozenLeavesGetNothing) {
  const Variable x = leaf({1});
  Variable frozen = leaf({2});
  frozen.set_requires_grad(false);
  mul(x, frozen).backward();
  EXPECT_EQ(grad_of(x), Values({2}));
  EXPECT_FALSE(frozen.grad());
  Variable result = scale(x, 2);
  EXPECT_THROW(result.set_requires_grad(false), Error);
}

TEST(Backward, InputsMayBeLeftOut) {
  const Variable x = leaf({1});
  const Variable out = record("with_optional", x.value().clone(), {x, Variable()}, [](const Tensor& grad) {
    return std::vector{grad, Tensor()};
  });
  out.backward();
  EXPECT_EQ(grad_of(x), Values({1}));
}

TEST(Backward, WhereNoGradientArrivesNoneGoesOn) {
  const Variable x = leaf({1});
  const Variable stop =
      record("stop", x.value().clone(), {scale(x, 3)}, [](const Tensor&) { return std::vector{Tensor()}; });
  add(stop, scale(x, 2)).backward();
  EXPECT_EQ(grad_of(x), Values({2}));
}

TEST(Backward, AWrongGradientIsNamed) {
  const Variable x = leaf({1, 2});
  const auto bad =
      record("bad", x.value().clone(), {x}, [](const Tensor&) { return std::vector{Tensor({3}, DType::f64)}; });
  EXPECT_THROW(bad.backward(Tensor::full({2}, 1, DType::f64)), Error);
  const auto too_many = record("too_many", x.value().clone(), {x}, [](const Tensor& g) { return std::vector{g, g}; });
  EXPECT_THROW(too_many.backward(Tensor::full({2}, 1, DType::f64)), Error);
}

TEST(LeafHook, FiresOnceWhenTheGradientIsComplete) {
  Variable x = leaf({1});
  Variable w = leaf({10});
  std::vector<double> seen;
  std::vector<double> order;
  x.set_leaf_hook([&](const Tensor& grad) {
    seen.push_back(grad.item());
    order.push_back(1);
  });
  w.set_leaf_hook([&](const Tensor&) { order.push_back(2); });
  // w is used by the last operation only: its gradient is complete first, while backward still has x before it.
  const Variable y = add(scale(x, 2), mul(x, x));
  mul(add(y, x), w).backward();
  EXPECT_EQ(seen, Values({10 * (2 + 2 + 1)}));
  EXPECT_EQ(order, Values({2, 1}));
  scale(x, 1).backward();
  EXPECT_EQ(seen.size(), 2U);
}

TEST(LeafHook, FiresForALeafThatIsItsOwnRoot) {
  Variable x = leaf({1});
  int calls = 0;
  x.set_leaf_hook([&](const Tensor&) { ++calls; });
  x.backward();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(grad_of(x), Values({1}));
}

TEST(NoGradScope, RecordsNothing) {
  const Variable x = leaf({1});
  {
    const NoGradScope inference;
    EXPECT_FALSE(grad_enabled());
    const Variable y = scale(x, 2);
    EXPECT_FALSE(y.requires_grad());
    EXPECT_TRUE(y.value().is_sole_owner()) << "the closure, which holds the value, was kept";
    { const NoGradScope nested; }
    EXPECT_FALSE(grad_enabled());
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_TRUE(scale(x, 2).requires_grad());
}

TEST(Record, NothingIsKeptWhereNoInputNeedsAGradient) {
  const Variable y = relu(leaf({1}, false));
  EXPECT_TRUE(y.value().is_sole_owner());
}

TEST(DeepChain, NeitherRunsNorDiesByRecursion) {
  const Variable x = leaf({1});
  for (const bool run : {true, false}) {
    Variable y = x;
    for (int i = 0; i < 200000; ++i) {
      y = scale(y, 1);
    }
    if (run) {
      y.backward();
    }
  }
  EXPECT_EQ(grad_of(x), Values({1}));
}

TEST(DeepChain, OfSharedValuesIsTakenApartOnce) {
  Variable y = leaf({1});
  for (int i = 0; i < 20000; ++i) {
    y = add(y, y);  // 2^20000 paths
  }
  y = Variable();
  Variable z = leaf({1});
  for (int i = 0; i < 100; ++i) {
    z = add(z, z);
  }
  z.backward();
}

TEST(Reuse, GivesFreshMemoryWhereItIsShared) {
  const Tensor only = Tensor::full({2}, 1);
  EXPECT_EQ(reuse(only).raw(), only.raw());
  const Tensor shared = only;
  EXPECT_NE(reuse(shared).raw(), only.raw());
}

TEST(NonFinite, NaNReachesTheLossAndTheGradients) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  for (Variable (*op)(const Variable&) : {&relu, &elu}) {
    const Variable x = leaf({1, kNaN, 2});
    const Variable loss = mean(op(x));
    EXPECT_TRUE(std::isnan(loss.value().item()));
    loss.backward();
    EXPECT_TRUE(std::isfinite(grad_of(x)[0]));
  }
  const Variable embeddings(Tensor::from<double>({2, 2}, std::array<double, 4>{1, 0, kNaN, 0}), true);
  const NtXentResult result = nt_xent(l2_normalize(embeddings), 0.1);
  EXPECT_TRUE(std::isnan(result.loss.value().item()));
  EXPECT_EQ(result.top1.item(), 0);
}

}  // namespace
}  // namespace earmark
