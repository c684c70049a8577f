// What a watch of ranks notices: one that is gone, one that calls no more, what never ends.
#include "kernels/rank_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>

#include "kernels/error.h"
#include "tests/ranks.h"

namespace earmark {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kSoon{600};

/// Waits as for a GPU, until the watch lets go.
class Gate {
 public:
  void open() {
    const std::scoped_lock lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

std::string nothing() { return ""; }

TEST(RankWatch, EndsWhenAllHaveComeToTheEnd) {
  std::atomic<int> stopped{0};
  run_as_ranks(3, [&](const std::shared_ptr<Communicator>& ranks) {
    RankWatch watch(ranks->another(), nothing, [&] { ++stopped; });
    for (int call = 0; call < 5; ++call) {
      watch.count_call();
    }
    bool waited = false;
    watch.wait([&] { waited = true; });
    EXPECT_TRUE(waited);
    watch.check_ranks();
  });
  EXPECT_EQ(stopped, 0);
}

TEST(RankWatch, ARankThatThrowsLetsGoOfTheOthers) {
  const auto problems = problems_of_threads(3, [](const std::shared_ptr<Communicator>& ranks) {
    Gate gate;
    RankWatch watch(ranks->another(), nothing, [&] { gate.open(); });
    check(ranks->rank() != 1, "this rank's disk is full");
    watch.wait([&] { gate.wait(); });
  });
  EXPECT_THAT(problems[1], HasSubstr("disk is full"));
  for (const int rank : {0, 2}) {
    EXPECT_THAT(problems[static_cast<std::size_t>(rank)], HasSubstr("has ended, or given up on another rank"));
  }
}

TEST(RankWatch, ARankThatCallsNoMoreIsNamed) {
  Gate over;
  const auto problems = problems_of_threads(
      2,
      [&](const std::shared_ptr<Communicator>& ranks) {
        Gate gate;
        RankWatch watch(ranks->another(), nothing, [&] { gate.open(); });
        watch.count_call();
        if (ranks->rank() == 1) {  // hangs, while its watch lives on
          over.wait();
          watch.check_ranks();
          return;
        }
        watch.count_call();
        try {
          gate.wait();
          watch.check_ranks();
        } catch (...) {
          over.open();
          throw;
        }
      },
      kSoon);
  EXPECT_THAT(problems[0], AnyOf(HasSubstr("rank 1 of 2 did not answer rank 0 within 0.6 s: it hangs"),
                                 HasSubstr("rank 1 of 2 has ended, or given up")));
}

TEST(RankWatch, WhatNeverEndsIsNotWaitedForForEver) {
  const auto problems = problems_of_threads(
      2,
      [&](const std::shared_ptr<Communicator>& ranks) {
        Gate gate;
        RankWatch watch(ranks->another(), nothing, [&] { gate.open(); });
        watch.count_call();
        watch.wait([&] { gate.wait(); });
      },
      kSoon);
  for (const std::string& problem : problems) {
    EXPECT_THAT(problem, AnyOf(HasSubstr("has waited for 0.6 s for what the GPUs do together"),
                               HasSubstr("has ended, or given up")));
  }
}

TEST(RankWatch, WhatADeviceReportsEndsAll) {
  const auto problems = problems_of_threads(2, [](const std::shared_ptr<Communicator>& ranks) {
    Gate gate;
    const bool broken = ranks->rank() == 0;
    RankWatch watch(
        ranks->another(), [broken] { return std::string(broken ? "a cable is out" : ""); }, [&] { gate.open(); });
    watch.wait([&] { gate.wait(); });
  });
  EXPECT_THAT(problems[0], HasSubstr("rank 0 of 2 cannot go on: a cable is out"));
  EXPECT_THAT(problems[1], HasSubstr("rank 0 of 2 has ended, or given up on another rank"));
}

TEST(RankWatch, WhoMeetsAnErrorAsksForItsCause) {
  const auto problems = problems_of_threads(2, [](const std::shared_ptr<Communicator>& ranks) {
    RankWatch watch(ranks->another(), nothing, [] {});
    watch.ask_ranks();  // nothing is wrong yet
    check(ranks->rank() == 0, "this rank's disk is full");
    try {
      watch.wait([] { fail("the network is down"); });
    } catch (const Error&) {
      while (true) {  // at the latest when the other has gone
        watch.ask_ranks();
      }
    }
  });
  EXPECT_THAT(problems[0], HasSubstr("rank 1 of 2 has ended, or given up on another rank"));
}

TEST(RankWatch, AKilledProcessIsNamedByTheOthersAndAStoppedOneToo) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const auto problems = problems_of_processes(
        2,
        [signal](const std::shared_ptr<Communicator>& ranks) {
          Gate gate;
          RankWatch watch(ranks->another(), nothing, [&] { gate.open(); });
          if (ranks->rank() == 1) {
            ::raise(signal);
          }
          gate.wait();
          watch.check_ranks();
        },
        std::chrono::milliseconds(1500),
        [](const std::vector<int>& ids) {
          siginfo_t ended{};
          ::waitid(P_PID, static_cast<id_t>(ids[0]), &ended, WEXITED | WNOWAIT);
          ::kill(ids[1], SIGKILL);
        });
    EXPECT_THAT(problems[0], HasSubstr(signal == SIGKILL ? "rank 1 of 2 has ended"
                                                         : "rank 1 of 2 did not answer rank 0 within 1.5 s"));
  }
}

}  // namespace
}  // namespace earmark
