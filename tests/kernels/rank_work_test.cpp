#include "kernels/rank_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "kernels/error.h"
#include "tests/ranks.h"

namespace earmark {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(RankWork, MayTakeLongerThanRanksWaitForADeadOne) {
  std::atomic<int> done{0};
  const std::vector<std::string> problems = problems_of_threads(
      3,
      [&](const std::shared_ptr<Communicator>& ranks) {
        work_beside_ranks(*ranks, [&] {
          if (ranks->rank() == 1) {
            std::this_thread::sleep_for(milliseconds(2500));
          }
          ++done;
        });
        EXPECT_EQ(done, 3) << "all have done theirs";
        ranks->barrier();
      },
      milliseconds(1000));
  EXPECT_THAT(problems, ::testing::Each(""));
}

TEST(RankWork, FailsEverywhereWhereOneFails) {
  const std::vector<std::string> problems = problems_of_threads(
      3,
      [](const std::shared_ptr<Communicator>& ranks) {
        work_beside_ranks(*ranks, [&] { check(ranks->rank() != 2, "the disk is full"); });
      },
      milliseconds(60000));
  EXPECT_EQ(problems[2], "the disk is full");
  EXPECT_THAT(problems[0], HasSubstr("another rank has failed"));
  EXPECT_THAT(problems[1], HasSubstr("another rank has failed"));
}

TEST(RankWork, OfOneRankIsJustDone) {
  const std::shared_ptr<Communicator> alone = make_communicator({}, {});
  int done = 0;
  work_beside_ranks(*alone, [&] { ++done; });
  EXPECT_EQ(done, 1);
  EXPECT_THROW(work_beside_ranks(*alone, [] { fail("no"); }), Error);
}

TEST(RankWork, ThatAsksEndsWhenAnotherRankHasFailed) {
  const std::vector<std::string> problems = problems_of_threads(3, [](const std::shared_ptr<Communicator>& ranks) {
    work_beside_ranks(*ranks, [&](const CheckRanks& check_ranks) {
      check(ranks->rank() != 1, "this one is bad");
      while (true) {
        check_ranks();
        std::this_thread::sleep_for(milliseconds(1));
      }
    });
  });
  EXPECT_EQ(problems[1], "this one is bad");
  EXPECT_THAT(problems[0], HasSubstr("another rank"));
  EXPECT_THAT(problems[2], HasSubstr("another rank"));
}

}  // namespace
}  // namespace earmark
