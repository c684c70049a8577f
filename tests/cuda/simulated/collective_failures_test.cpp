// Ranks that fail, go, or never call: the others say so and do not wait for ever.
#include <gmock/gmock.h>

#include <barrier>

#include "cudasim/control.h"
#include "kernels/error.h"
#include "tests/cuda/ranks.h"

namespace earmark::testing {
namespace {

using kernels::cuda::Combine;
using kernels::cuda::Communicator;
using ::testing::HasSubstr;

class FailingRank : public GpuTest {
 protected:
  void SetUp() override {
    cudasim::config().devices = 2;
    cudasim::config().verbose = false;
  }
  void TearDown() override {
    cudasim::take_reports();
    cudasim::reset_device();
    cudasim::config() = before_;
  }

 private:
  const cudasim::Config before_ = cudasim::config();
};

/// From now on ranks that do not come are given up soon.
void lose_patience() noexcept { cudasim::config().patience = std::chrono::milliseconds(50); }

std::string sentence(const std::exception_ptr& thrown) {
  try {
    if (thrown) {
      std::rethrow_exception(thrown);
    }
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST_F(FailingRank, ThatThrowsLetsTheOthersGo) {
  const auto thrown = exceptions_of_ranks(2, [](const Communicator& all, Device device) {
    const Tensor t = Tensor::full({8}, 1, DType::f32, device);
    check(all.rank() == 0, "this rank's disk is full");
    all.all_reduce({{t}}, Combine::sum);
    kernels::cuda::synchronize_stream();
    all.check_ranks();
  });
  EXPECT_THAT(sentence(thrown[1]), HasSubstr("this rank's disk is full"));
  EXPECT_THAT(sentence(thrown[0]), ::testing::AnyOf(HasSubstr("rank 0 of 2 cannot go on, since another has failed"),
                                                    HasSubstr("ncclAllReduce"), HasSubstr("ncclCommInitRankConfig")));
}

TEST_F(FailingRank, ThatNeverCallsIsNamed) {
  std::barrier<void (*)() noexcept> both_joined(2, lose_patience);
  const auto thrown = exceptions_of_ranks(2, [&](const Communicator& all, Device device) {
    const Tensor t = Tensor::full({8}, 1, DType::f32, device);
    both_joined.arrive_and_wait();
    if (all.rank() == 0) {
      all.all_reduce({{t}}, Combine::sum);
    }
    kernels::cuda::synchronize_stream();
  });
  EXPECT_THAT(sentence(thrown[0]), HasSubstr("ncclAllReduce"));
  const auto reports = cudasim::take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_THAT(reports[0].text, HasSubstr("of 2 ranks: rank 1 never called it"));
}

TEST_F(FailingRank, ThatNeverJoinsIsNamed) {
  lose_patience();
  EXPECT_THROW(Communicator(kernels::cuda::new_communicator_id(), 2, 0), Error);
  const auto reports = cudasim::take_reports();
  ASSERT_EQ(reports.size(), 1);
  EXPECT_THAT(reports[0].text, HasSubstr("of 2 ranks: rank 1 never called it"));
}

/// NCCL runs out of memory at each of its calls in turn.
TEST_F(FailingRank, SaysWhichCallFailed) {
  const auto attempt = [](std::uint64_t number) {
    cudasim::fail_library_call(number);
    const auto thrown = exceptions_of_ranks(1, [](const Communicator& all, Device device) {
      const Tensor t = Tensor::full({8}, 1, DType::f32, device);
      all.all_reduce({{t}}, Combine::sum);
      all.all_gather(t, t);
      all.reduce_scatter(t, t, Combine::sum);
      all.broadcast(t, 0);
    });
    cudasim::fail_library_call(0);
    return sentence(thrown[0]);
  };
  EXPECT_THAT(attempt(1), HasSubstr("ncclCommInitRank"));
  EXPECT_THAT(attempt(2), HasSubstr("ncclAllReduce"));
  EXPECT_THAT(attempt(3), HasSubstr("ncclAllGather"));
  EXPECT_THAT(attempt(4), HasSubstr("ncclReduceScatter"));
  EXPECT_THAT(attempt(5), HasSubstr("ncclBroadcast"));
  EXPECT_EQ(attempt(6), "nothing was thrown");
}

}  // namespace
}  // namespace earmark::testing
