#include "kernels/life_signs.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/parallel.h"

namespace earmark {
namespace {

using std::chrono::milliseconds;

TEST(LifeSigns, KernelsGiveThem) {
  const std::uint64_t before = signs_of_life();
  parallel_for(3, [](std::int64_t /*i*/) {});
  EXPECT_GT(signs_of_life(), before);
}

TEST(LifeSigns, WhoGivesNoneIsSilentUnlessItIsExcused) {
  LifeWatch watch(3, milliseconds(40));
  for (std::uint64_t sign = 1; watch.silent() != 1; ++sign) {
    watch.see(0, sign);
    watch.see(1, 7);  // the same for ever
    watch.see(2, sign);
    ASSERT_LT(sign, 1000000U);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(watch.sentence(1), "rank 1 of 3 answers, but has got nowhere for 0.04 s: it hangs");
  watch.excuse(1);
  watch.see(0, 0);
  EXPECT_NE(watch.silent(), 1);
}

TEST(LifeSigns, NobodyIsSilentAtOnce) {
  const LifeWatch watch(2, milliseconds(60000));
  EXPECT_EQ(watch.silent(), -1);
}

}  // namespace
}  // namespace earmark
