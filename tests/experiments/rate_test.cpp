#include "experiments/rate.h"

#include <gtest/gtest.h>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

// Reference values: R's prop.test(x, n, correct = FALSE) and the formula worked by hand.
TEST(Wilson, KnownValues) {
  const Interval half = wilson_interval(50, 100);
  EXPECT_NEAR(half.low, 0.403832, 1e-6);
  EXPECT_NEAR(half.high, 0.596168, 1e-6);
  const Interval most = wilson_interval(81, 263);
  EXPECT_NEAR(most.low, 0.255289, 1e-6);  // Newcombe, Statistics in Medicine 17, 1998: 0.2553 to 0.3662
  EXPECT_NEAR(most.high, 0.366210, 1e-6);
}

TEST(Wilson, StaysWithinRangeAtTheEnds) {
  const Interval none = wilson_interval(0, 20);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 0.161125, 1e-6);
  const Interval all = wilson_interval(20, 20);
  EXPECT_NEAR(all.low, 0.838875, 1e-6);
  EXPECT_EQ(all.high, 1);
  const Interval nothing = wilson_interval(0, 0);
  EXPECT_EQ(nothing.low, 0);
  EXPECT_EQ(nothing.high, 1);
  EXPECT_THROW(wilson_interval(3, 2), Error);
  EXPECT_THROW(wilson_interval(-1, 2), Error);
}

TEST(Rate, CountsHits) {
  Rate rate;
  rate.add(true);
  rate.add(false);
  rate.add(true);
  rate.add(true);
  EXPECT_EQ(rate.percent(), 75);
  EXPECT_LT(rate.interval().low, 0.75);
}

}  // namespace
}  // namespace earmark::experiments
