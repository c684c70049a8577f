// How a machine is divided among the ranks on it.
#include "train/machine_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>

namespace earmark::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(MachineShare, PartsAreEqualInOrderAndMissNothing) {
  const std::vector<int> items{4, 5, 6, 7, 8};
  EXPECT_THAT(part_of(items, 0, 1), ElementsAre(4, 5, 6, 7, 8));
  EXPECT_THAT(part_of(items, 0, 2), ElementsAre(4, 5));
  EXPECT_THAT(part_of(items, 1, 2), ElementsAre(6, 7, 8));
  EXPECT_THAT(part_of(items, 4, 5), ElementsAre(8));
  EXPECT_THAT(part_of(std::vector<int>{}, 0, 2), IsEmpty());
}

TEST(MachineShare, WhereThereAreTooFewTheyAreShared) {
  const std::vector<int> items{4, 5};
  std::vector<int> all;
  for (int part = 0; part < 5; ++part) {
    const std::vector<int> one = part_of(items, part, 5);
    ASSERT_EQ(one.size(), 1U);
    all.push_back(one[0]);
  }
  EXPECT_THAT(all, ElementsAre(4, 4, 4, 5, 5));
}

TEST(MachineShare, ThreadsAreDividedAndNobodyHasNone) {
  EXPECT_EQ(threads_of_part(8, 0, 3) + threads_of_part(8, 1, 3) + threads_of_part(8, 2, 3), 8);
  EXPECT_EQ(threads_of_part(1, 0, 2), 1);
  EXPECT_EQ(threads_of_part(1, 1, 2), 1);
}

TEST(MachineShare, ProcessorsAreThoseThatThisProcessMayUse) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  std::vector<int> processors = processors_by_core();
  EXPECT_EQ(static_cast<int>(processors.size()), CPU_COUNT(&allowed));
  std::sort(processors.begin(), processors.end());
  EXPECT_EQ(std::unique(processors.begin(), processors.end()), processors.end());
  for (const int processor : processors) {
    EXPECT_TRUE(CPU_ISSET(static_cast<std::size_t>(processor), &allowed));
  }
}

TEST(MachineShare, GpusAreCalledAsCudaKnowsThem) {
  EXPECT_THAT(gpu_names(0, nullptr), IsEmpty());
  EXPECT_THAT(gpu_names(3, nullptr), ElementsAre("0", "1", "2"));
  EXPECT_THAT(gpu_names(2, "5,GPU-1f2e,7"), ElementsAre("5", "GPU-1f2e"));
  EXPECT_THAT(gpu_names(0, ""), IsEmpty());
}

}  // namespace
}  // namespace earmark::train
