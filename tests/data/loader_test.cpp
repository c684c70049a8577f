#include "data/loader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "kernels/error.h"
#include "kernels/parallel.h"

namespace earmark::data {
namespace {

Batch numbered(std::int64_t step) {
  Batch batch;
  batch.step = step;
  return batch;
}

TEST(Loader, KeepsOrderWhenLaterBatchesAreReadyFirst) {
  const auto make = [](std::int64_t step) {
    std::this_thread::sleep_for(std::chrono::milliseconds(step % 4 == 0 ? 5 : 0));
    return numbered(step);
  };
  Loader loader(make, 3, 4, 8);
  for (std::int64_t step = 3; step < 60; ++step) {
    ASSERT_EQ(loader.next().step, step);
  }
}

TEST(Loader, NeverRunsFurtherAheadThanAllowed) {
  std::atomic<std::int64_t> highest{-1};
  const auto make = [&](std::int64_t step) {
    std::int64_t before = highest;
    while (step > before && !highest.compare_exchange_weak(before, step)) {
    }
    return numbered(step);
  };
  Loader loader(make, 0, 3, 5);
  for (std::int64_t taken = 0; taken < 40; ++taken) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    EXPECT_LT(highest, taken + 5);
    loader.next();
  }
}

TEST(Loader, ErrorsArriveAtTheirStep) {
  const auto make = [](std::int64_t step) {
    if (step == 4) {
      throw std::runtime_error("step four");
    }
    return numbered(step);
  };
  for (const int workers : {0, 1, 3}) {
    Loader loader(make, 0, workers, 4);
    for (std::int64_t step = 0; step < 4; ++step) {
      EXPECT_EQ(loader.next().step, step);
    }
    EXPECT_THROW(loader.next(), std::runtime_error);
    EXPECT_THROW(loader.next(), std::runtime_error);  // and again: it is not skipped silently
  }
}

TEST(Loader, StopsAtOnceWithBatchesLeft) {
  for (int i = 0; i < 20; ++i) {
    Loader loader([](std::int64_t step) { return numbered(step); }, 0, 2, 3);
    if (i % 2 == 0) {
      loader.next();
    }
  }
}

TEST(Loader, WorkersDoNotStartThreadsInside) {
  const auto make = [](std::int64_t step) {
    const auto here = std::this_thread::get_id();
    parallel_for(8, [&](std::int64_t) { EXPECT_EQ(std::this_thread::get_id(), here); });
    return numbered(step);
  };
  Loader loader(make, 0, 2, 2);
  for (int i = 0; i < 5; ++i) {
    loader.next();
  }
}

TEST(Loader, BadCountsAreRefused) {
  const auto make = [](std::int64_t step) { return numbered(step); };
  EXPECT_THROW(Loader(make, 0, -1, 4), Error);
  EXPECT_THROW(Loader(make, 0, 1, 0), Error);
}

}  // namespace
}  // namespace earmark::data
