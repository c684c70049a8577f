// Ranks whose tensors are on GPUs, as threads: what the communicator gives. Training is for processes
// (rank_programs_test.cpp): where a thread frees page-locked memory it waits for all GPUs of its process.
#include "kernels/cuda/nccl_communicator.h"

#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <thread>

#include "autograd/functions.h"
#include "kernels/cuda/memory.h"
#include "tests/cuda/ranks.h"
#include "tests/ranks.h"
#include "train/gradient_buckets.h"

namespace earmark::testing {
namespace {

using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;

class GpuRanks : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!IsSkipped() && ranks_here() < 2) {
      GTEST_SKIP() << "there is one GPU";
    }
  }
  static void run(const GpuRankWork& work) { EXPECT_THAT(problems_of_gpus(ranks_here(), work), Each("")); }
};

Tensor numbered(int rank, std::int64_t count, DType type, Device device) {
  const Tensor t({count}, DType::f64);
  for (std::int64_t i = 0; i < count; ++i) {
    t.mutable_data<double>()[i] = static_cast<double>((rank + 1) * (i % 9 - 3));
  }
  return t.to(type).to(device);
}

double first_of(const Tensor& t) { return t.slice(0, 1).item(); }

TEST_F(GpuRanks, ExchangeWhatIsOnTheGpuAndWhatIsOnTheHost) {
  run([](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
    const int size = ranks->size();
    const double all = size * (size + 1) / 2.0;
    for (const Device where : {device, Device{}}) {
      for (const DType type : {DType::f32, DType::f64}) {
        const std::array tensors{numbered(ranks->rank(), 11, type, where), numbered(ranks->rank(), 3, type, where)};
        ranks->all_reduce(tensors, earmark::Combine::sum);
        EXPECT_EQ(first_of(tensors[0]), -3 * all);
        EXPECT_EQ(first_of(tensors[1]), -3 * all);
        const Tensor mean = numbered(ranks->rank(), 5, type, where);
        ranks->all_reduce(std::array{mean}, earmark::Combine::mean);
        EXPECT_NEAR(first_of(mean), -3 * all / size, 1e-6);
        const Tensor whole({2 * size}, type, where);
        ranks->all_gather(numbered(ranks->rank(), 2, type, where), whole);
        EXPECT_EQ(first_of(whole.slice(2, 2 * size)), -6);
        const Tensor part({2}, type, where);
        ranks->reduce_scatter(whole, part, earmark::Combine::sum);
        EXPECT_EQ(first_of(part), -3.0 * (ranks->rank() + 1) * size);
        ranks->broadcast(part, size - 1);
        EXPECT_EQ(first_of(part), -3.0 * size * size);
      }
    }
    std::array<double, 1> number{1};
    add_up(*ranks, number);
    EXPECT_EQ(number[0], size);
    ranks->barrier();
  });
}

TEST_F(GpuRanks, AnotherOfThemIsIndependent) {
  run([](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
    const auto other = ranks->another();
    const Tensor a = numbered(ranks->rank(), 4, DType::f32, device);
    const Tensor b = numbered(ranks->rank(), 4, DType::f32, device);
    other->all_reduce_beside(std::array{a}, earmark::Combine::sum);
    ranks->all_reduce(std::array{b}, earmark::Combine::sum);
    other->join();
    EXPECT_EQ(first_of(a), first_of(b));
  });
}

/// What is queued after all_reduce_beside() does not see its result before join(); whatever the streams' order.
TEST_F(GpuRanks, SumsBesideOtherWorkAreThereAfterJoin) {
  run([](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
    for (int round = 0; round < 4; ++round) {
      const Tensor gradient = Tensor::full({64}, ranks->rank() + 1, DType::f32, device);
      ranks->all_reduce_beside(std::array{gradient}, earmark::Combine::sum);
      const Tensor other = Tensor::full({64}, 5, DType::f32, device);
      EXPECT_EQ(first_of(other), 5);
      ranks->join();
      const Tensor copy = gradient.clone();
      EXPECT_EQ(first_of(copy), ranks->size() * (ranks->size() + 1) / 2.0);
    }
  });
}

TEST_F(GpuRanks, GradientBucketsAreQueuedWhileBackwardGoesOn) {
  run([](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
    std::vector<nn::NamedParameter> leaves;
    for (const char* name : {"a", "b", "c"}) {
      leaves.push_back({name, Variable(Tensor::full({100}, 2, DType::f32, device), true)});
    }
    train::GradientBuckets buckets(leaves, ranks, 400);
    for (int step = 0; step < 3; ++step) {
      buckets.begin_step();
      Variable x(Tensor::full({100}, 1.0 + ranks->rank(), DType::f32, device));
      for (const nn::NamedParameter& leaf : leaves) {
        x = mul(x, leaf.variable);
      }
      sum(x).backward();
      buckets.finish_step();
      EXPECT_EQ(buckets.early(), step == 0 ? 0U : 3U);
      for (nn::NamedParameter& leaf : leaves) {
        EXPECT_NEAR(first_of(leaf.variable.grad()), 4 * (ranks->size() + 1) / 2.0, 1e-6);
        leaf.variable.zero_grad();
      }
    }
  });
}

TEST_F(GpuRanks, OneGpuIsNotForTwo) {
  const auto problems = problems_of_threads(
      2, [](const std::shared_ptr<earmark::Communicator>& ranks) { static_cast<void>(on_device(ranks, kGpu)); });
  EXPECT_THAT(problems, Each(HasSubstr("ranks 0 and 1 have the same GPU")));
}

TEST_F(GpuRanks, AllOfThemComputeOnTheSameKindOfDevice) {
  const auto problems = problems_of_threads(2, [](const std::shared_ptr<earmark::Communicator>& ranks) {
    static_cast<void>(on_device(ranks, ranks->rank() == 0 ? kGpu : Device{}));
  });
  EXPECT_THAT(problems, Each(HasSubstr("rank 1 computes on the CPU, rank 0 on a GPU: add --device cpu")));
}

TEST_F(GpuRanks, OneThatThrowsLetsTheOthersGo) {
  const auto problems = problems_of_gpus(2, [](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
    const Tensor t = Tensor::full({8}, 1, DType::f32, device);
    check(ranks->rank() == 0, "this rank's disk is full");
    ranks->all_reduce(std::array{t}, earmark::Combine::sum);
    ranks->wait([] { kernels::cuda::synchronize_stream(); });
  });
  EXPECT_THAT(problems[1], HasSubstr("this rank's disk is full"));
  EXPECT_THAT(problems[0], HasSubstr("rank 1 of 2 has ended, or given up on another rank"));
}

/// Its host goes on, but it never asks for what the other waits for.
TEST_F(GpuRanks, OneThatNeverCallsIsGivenUpInTime) {
  std::atomic<bool> over{false};
  const auto problems = problems_of_gpus(
      2,
      [&](const std::shared_ptr<earmark::Communicator>& ranks, Device device) {
        const Tensor t = Tensor::full({8}, 1, DType::f32, device);
        if (ranks->rank() == 1) {
          while (!over) {
            std::this_thread::yield();
          }
          return;
        }
        try {
          ranks->all_reduce(std::array{t}, earmark::Combine::sum);
          ranks->wait([] { kernels::cuda::synchronize_stream(); });
        } catch (...) {
          over = true;
          throw;
        }
      },
      std::chrono::seconds(2));
  EXPECT_THAT(problems[0],
              AnyOf(HasSubstr("rank 1 of 2 did not answer rank 0 within 2 s: it hangs"),
                    HasSubstr("rank 0 of 2 has waited for 2 s"), HasSubstr("rank 1 of 2 has ended, or given up")));
}

}  // namespace
}  // namespace earmark::testing
