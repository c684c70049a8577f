// Processes that another launcher than `launch` has started share the processors of their machine themselves.
#include <gtest/gtest.h>

#include "data/program.h"
#include "kernels/parallel.h"
#include "tests/program.h"

namespace earmark::data {
namespace {

int threads_of(const Rank& rank, bool given) {
  const int before = num_threads();
  set_num_threads(7);
  share_processors(rank, given);
  const int after = num_threads();
  set_num_threads(before);
  return after;
}

TEST(ShareProcessors, IsAmongTheRanksOfOneMachineUnlessSomebodyHasSaid) {
  ::unsetenv("EARMARK_THREADS");  // of this process of tests alone
  EXPECT_EQ(threads_of({.rank = 1, .size = 6, .local_rank = 1, .local_size = 3}, false), 2);
  EXPECT_EQ(threads_of({.rank = 0, .size = 20, .local_rank = 0, .local_size = 20}, false), 1);
  EXPECT_EQ(threads_of({.rank = 1, .size = 6, .local_rank = 0, .local_size = 1}, false), 7);
  EXPECT_EQ(threads_of({.rank = 1, .size = 6, .local_rank = 1, .local_size = 3}, true), 7);
  const earmark::testing::EnvironmentScope told("EARMARK_THREADS", "7");
  EXPECT_EQ(threads_of({.rank = 1, .size = 6, .local_rank = 1, .local_size = 3}, false), 7);
}

}  // namespace
}  // namespace earmark::data
