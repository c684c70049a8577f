#include "kernels/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "kernels/error.h"

namespace earmark {
namespace {

/// Runs a test with so many threads and restores their number.
class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

/// Every count is `wanted`.
bool all_are(const std::vector<std::atomic<int>>& hits, int wanted) {
  return std::all_of(hits.begin(), hits.end(), [=](const auto& h) { return h == wanted; });
}

TEST(ParallelFor, RunsEachTaskOnceNestedToo) {
  const Threads four(4);
  std::vector<std::atomic<int>> hits(1000);
  parallel_for(1000,
               [&](std::int64_t i) { parallel_for(3, [&](std::int64_t) { ++hits[static_cast<std::size_t>(i)]; }); });
  EXPECT_TRUE(all_are(hits, 3));
}

TEST(ParallelFor, DoesNothingForNoTasks) {
  parallel_for(0, [](std::int64_t) { FAIL(); });
  parallel_for(-1, [](std::int64_t) { FAIL(); });
}

TEST(ParallelFor, TakesAStdFunction) {
  int sum = 0;
  const std::function<void(std::int64_t)> task = [&](std::int64_t i) { sum += static_cast<int>(i); };
  const SerialScope serial;
  parallel_for(5, task);
  EXPECT_EQ(sum, 10);
}

TEST(ParallelFor, RethrowsAndWorksOn) {
  const Threads three(3);
  for (int round = 0; round < 20; ++round) {
    EXPECT_THROW(parallel_for(10, [](std::int64_t i) { check(i != 5, "five"); }), Error);
    std::atomic<int> count{0};
    parallel_for(10, [&](std::int64_t) { ++count; });
    EXPECT_EQ(count, 10);
  }
}

TEST(ParallelFor, ServesSeveralThreadsAtOnce) {
  const Threads three(3);
  std::vector<std::atomic<int>> hits(64);
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        parallel_for(64, [&](std::int64_t i) { ++hits[static_cast<std::size_t>(i)]; });
      }
    });
  }
  for (std::thread& t : callers) {
    t.join();
  }
  EXPECT_TRUE(all_are(hits, 200));
}

TEST(ParallelFor, SurvivesChangesOfTheThreadCount) {
  const int before = num_threads();
  for (const int count : {1, 4, 2, 7, 1}) {
    set_num_threads(count);
    EXPECT_EQ(num_threads(), count);
    std::vector<std::atomic<int>> hits(33);
    parallel_for(33, [&](std::int64_t i) { ++hits[static_cast<std::size_t>(i)]; });
    EXPECT_TRUE(all_are(hits, 1));
  }
  set_num_threads(before);
}

TEST(ParallelFor, AnswersAndRefusesInsideATask) {
  const Threads two(2);
  std::atomic<int> refused{0};
  parallel_for(4, [&](std::int64_t) {
    EXPECT_EQ(num_threads(), 2);
    try {
      set_num_threads(3);
    } catch (const Error&) {
      ++refused;
    }
  });
  EXPECT_EQ(refused, 4);
  EXPECT_THROW(set_num_threads(0), Error);
}

TEST(ParallelRanges, CoverEverythingInFixedPieces) {
  std::vector<std::atomic<int>> hits(103);
  std::atomic<int> ragged{0};
  parallel_ranges(103, 10, [&](std::int64_t begin, std::int64_t end) {
    ragged += begin % 10 != 0 || (end % 10 != 0 && end != 103) ? 1 : 0;
    for (std::int64_t i = begin; i < end; ++i) {
      ++hits[static_cast<std::size_t>(i)];
    }
  });
  EXPECT_TRUE(all_are(hits, 1));
  EXPECT_EQ(ragged, 0);
  EXPECT_THROW(parallel_ranges(3, 0, [](std::int64_t, std::int64_t) {}), Error);
}

TEST(EvenGrain, GivesAllThreadsAsMuch) {
  const int before = num_threads();
  set_num_threads(2);
  EXPECT_EQ(even_grain(41, 32), 21);
  EXPECT_EQ(even_grain(64, 32), 32);
  EXPECT_EQ(even_grain(65, 32), 17) << "two rounds rather than one task left over";
  EXPECT_EQ(even_grain(1, 32), 1);
  EXPECT_EQ(even_grain(0, 32), 1);
  EXPECT_THROW(even_grain(5, 0), Error);
  set_num_threads(before);
}

TEST(SerialScope, KeepsTasksOnTheCallingThread) {
  const Threads four(4);
  const SerialScope serial;
  const auto self = std::this_thread::get_id();
  parallel_for(100, [&](std::int64_t) { EXPECT_EQ(std::this_thread::get_id(), self); });
}

}  // namespace
}  // namespace earmark
