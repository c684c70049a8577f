#include "kernels/rank_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "kernels/error.h"
#include "kernels/life_signs.h"
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
          for (int i = 0; ranks->rank() == 1 && i < 25; ++i) {
            std::this_thread::sleep_for(milliseconds(100));
            show_life();
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

/// Its main thread hangs in its work; the one that answers the others does not.
TEST(RankWork, OfARankThatHangsEndsTheOthersInTime) {
  const auto work = [](const std::shared_ptr<Communicator>& ranks) {
    work_beside_ranks(*ranks, [&] {
      while (ranks->rank() == 1) {
        ::pause();
      }
    });
  };
  const auto end_hanging = [](const std::vector<int>& ids) {
    for (const std::size_t rank : {0, 2}) {
      siginfo_t info{};
      EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(ids[rank]), &info, WEXITED | WNOWAIT), 0);
    }
    ::kill(ids[1], SIGKILL);
  };
  const std::vector<std::string> problems = problems_of_processes(3, work, milliseconds(2000), end_hanging);
  const std::string sentence = "rank 1 of 3 answers, but has got nowhere for 2 s: it hangs";
  EXPECT_EQ(problems[0], sentence);
  EXPECT_EQ(problems[1], "killed by signal 9");
  EXPECT_EQ(problems[2], sentence);
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
