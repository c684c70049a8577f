// Which kernels an error names: those that no wait has come after.
#include "kernels/cuda/launch_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cudasim/control.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/stream.h"
#include "kernels/device_failure.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"
#include "tests/cuda/gpu.h"
#include "tests/cuda/simulated/failures.h"

namespace earmark::testing {
namespace {

using kernels::cuda::suspects;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LaunchLog : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    for (int device = kernels::cuda::device_count() - 1; device >= 0; --device) {  // other tests had others, too
      kernels::cuda::make_current(device);
      kernels::cuda::synchronize();
    }
    ASSERT_EQ(suspects(), "");
  }
  void TearDown() override { kernels::cuda::synchronize(); }

  void add() const { kernels::add(x_, x_, y_); }
  void sum() const { kernels::sum(x_, total_); }

  const Tensor x_ = Tensor::full({4, 4}, 1, DType::f32, kGpu);
  const Tensor y_{{4, 4}, DType::f32, kGpu};
  const Tensor total_{{}, DType::f32, kGpu};
};

TEST_F(LaunchLog, NamesKernelsUntilTheHostHasWaited) {
  add();
  add();
  EXPECT_THAT(suspects(), HasSubstr("since the last wait: map2_kernel<"));
  EXPECT_THAT(suspects(), Not(HasSubstr(", map2_kernel"))) << "each once";
  kernels::matmul({.a = x_, .b = x_, .out = y_});
  EXPECT_THAT(suspects(), AllOf(HasSubstr("map2_kernel<"), HasSubstr(", cublasGemmEx (CUDA_LAUNCH_BLOCKING=1 finds")));
  EXPECT_THAT(suspects(), AllOf(Not(HasSubstr("::map2_kernel")), Not(HasSubstr("(float"))));
  kernels::cuda::synchronize_stream();
  EXPECT_EQ(suspects(), "");
}

TEST_F(LaunchLog, AWaitForOneStreamClearsThatStreamAlone) {
  const kernels::cuda::Stream other;
  add();
  {
    const kernels::cuda::StreamScope scope(other);
    sum();
  }
  kernels::cuda::synchronize_stream();
  EXPECT_THAT(suspects(), AllOf(HasSubstr("sum"), Not(HasSubstr("map2_kernel"))));
  other.synchronize();
  EXPECT_EQ(suspects(), "");
}

TEST_F(LaunchLog, AnEventClearsWhatIsBeforeIt) {
  kernels::cuda::Event event;
  add();
  event.record();
  sum();
  event.synchronize();
  EXPECT_THAT(suspects(), AllOf(HasSubstr("sum"), Not(HasSubstr("map2_kernel"))));
  add();
  event.synchronize();
  EXPECT_THAT(suspects(), HasSubstr("map2_kernel")) << "it was started again behind the event";
}

TEST_F(LaunchLog, GraphsNameWhatTheyHold) {
  const auto stream = kernels::cuda::own_stream(0);
  kernels::cuda::Graph graph(0);
  graph.rehearse([&] { add(); });
  kernels::cuda::synchronize_stream();
  graph.record([&] { add(); });
  EXPECT_EQ(suspects(), "") << "nothing runs yet";
  graph.launch();
  EXPECT_THAT(suspects(), HasSubstr("map2_kernel"));
  kernels::cuda::synchronize_stream();
  EXPECT_EQ(suspects(), "");
}

/// Libraries say little of what happened before.
TEST_F(LaunchLog, ALibraryCallAfterAFailureTellsOfThat) {
  cudasim::fail_launch(1, cudasim::LaunchFailure::faulting);
  sum();
  add();
  EXPECT_THROW(kernels::cuda::synchronize_stream(), DeviceFailure);
  const auto multiply = [&] { kernels::matmul({.a = x_, .b = x_, .out = y_}); };
  EXPECT_THROW(multiply(), DeviceFailure);
  EXPECT_THAT(error_of(multiply), AllOf(HasSubstr("an illegal memory access was encountered"), HasSubstr("sum")));
  cudasim::reset_device();
}

}  // namespace
}  // namespace earmark::testing
