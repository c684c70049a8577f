// McNemar's test against figures from textbooks, and at its edges.
#include "experiments/mcnemar.h"

#include <gtest/gtest.h>

#include "kernels/error.h"

namespace earmark::experiments {
namespace {

TEST(McNemar, FewPairsAreCountedExactly) {
  // 2 (C(22,0) + ... + C(22,6)) / 2^22.
  const McNemar few = mcnemar({6, 16});
  EXPECT_TRUE(few.exact);
  EXPECT_NEAR(few.p, 0.0524788, 1e-7);
  EXPECT_FALSE(few.real());
  EXPECT_DOUBLE_EQ(mcnemar({1, 9}).p, 22.0 / 1024);
  EXPECT_TRUE(mcnemar({1, 9}).real());
  EXPECT_DOUBLE_EQ(mcnemar({0, 5}).p, 0.0625);
  EXPECT_DOUBLE_EQ(mcnemar({0, 6}).p, 0.03125);
}

TEST(McNemar, ManyPairsAreChiSquaredWithCorrection) {
  // Agresti, Categorical Data Analysis: approval of a prime minister asked twice, 150 and 86 changed their minds.
  const McNemar approval = mcnemar({150, 86});
  EXPECT_FALSE(approval.exact);
  EXPECT_NEAR(approval.p, 4.1e-5, 0.05e-5);  // of (64 - 1)^2 / 236 = 16.82
  // (62 - 1)^2 / 180 = 20.67
  EXPECT_NEAR(mcnemar({121, 59}).p, 5.45e-6, 0.01e-6);
  EXPECT_TRUE(mcnemar({121, 59}).real());
  // (12 - 1)^2 / 26 = 4.654
  EXPECT_NEAR(mcnemar({19, 7}).p, 0.03098, 1e-4);
}

TEST(McNemar, TheOrderOfTheTwoDoesNotMatter) {
  for (const Discordant& pairs : {Discordant{3, 12}, Discordant{4, 60}}) {
    EXPECT_EQ(mcnemar(pairs).p, mcnemar({pairs.only_second, pairs.only_first}).p);
  }
}

TEST(McNemar, SystemsThatAnswerAlikeDoNotDiffer) {
  for (const Discordant& pairs :
       {Discordant{0, 0}, Discordant{7, 7}, Discordant{8, 7}, Discordant{40, 40}, Discordant{41, 40}}) {
    EXPECT_DOUBLE_EQ(mcnemar(pairs).p, 1) << pairs.only_first << ':' << pairs.only_second;
  }
}

TEST(McNemar, TheTwoTestsMeetWhereOneTakesOver) {
  EXPECT_TRUE(mcnemar({17, 7}).exact);
  EXPECT_FALSE(mcnemar({18, 7}).exact);
  // The exact value of 18 and 7 is 0.0433; that of chi-squared with correction 0.0455.
  EXPECT_NEAR(mcnemar({18, 7}).p, 0.0455, 1e-4);
}

TEST(McNemar, CountsAreNotNegative) { EXPECT_THROW(mcnemar({-1, 3}), Error); }

}  // namespace
}  // namespace earmark::experiments
