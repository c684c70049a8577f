// Work recorded in a CUDA graph: the same numbers, memory that stays its own, and refusals that say why.
#include "kernels/cuda/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/memory.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

using kernels::cuda::Graph;
using ::testing::HasSubstr;

class GpuGraph : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (!IsSkipped()) {
      kernels::cuda::synchronize();
      before_ = kernels::cuda::memory_use();
      stream_ = kernels::cuda::own_stream(0);
    }
  }
  void TearDown() override {
    if (!IsSkipped()) {
      kernels::cuda::synchronize_stream();
      stream_ = nullptr;
      EXPECT_EQ(kernels::cuda::memory_use().blocks, before_.blocks) << "memory was not given back";
      EXPECT_EQ(kernels::cuda::memory_use().bytes, before_.bytes);
    }
  }
  static std::string refusal_of(Graph& graph, const std::function<void()>& work) {
    try {
      graph.record(work);
    } catch (const Error& error) {
      return error.what();
    }
    return "recorded";
  }

  kernels::cuda::MemoryUse before_;
  std::shared_ptr<void> stream_;
};

/// out = the sum of (x + x) times itself transposed, by way of tensors that come and go.
void compute(const Tensor& x, const Tensor& out) {
  const Tensor twice = empty_like(x);
  kernels::add(x, x, twice);
  Tensor product({x.dim(0), x.dim(0)}, DType::f32, x.device());
  kernels::matmul({.a = twice, .b = x, .out = product, .transpose_b = true});
  const Tensor more = product.clone();
  product = {};
  const Tensor again = more.clone();  // where the product was
  kernels::sum(again, out);
}

TEST_F(GpuGraph, LaunchesReadWhatTensorsHoldNow) {
  Tensor x = Tensor::full({5, 7}, 1, DType::f32, kGpu);
  const Tensor out = Tensor::zeros({}, DType::f32, kGpu);
  Graph graph(0);
  graph.rehearse([&] { compute(x, out); });
  EXPECT_EQ(out.item(), 350);
  out.fill(-1);
  graph.record([&] { compute(x, out); });
  EXPECT_EQ(out.item(), -1) << "recording ran something";
  EXPECT_GT(graph.pieces(), 4U);
  for (const int value : {2, 3}) {
    x.fill(value);
    graph.launch();
    EXPECT_EQ(out.item(), 350 * value * value);
  }
}

TEST_F(GpuGraph, TensorsOfTheRecordKeepItsMemoryAlive) {
  const Tensor x = Tensor::full({100}, 3, DType::f32, kGpu);
  Tensor result;
  {
    Graph graph(0);
    const auto work = [&] { result = x.clone(); };
    graph.rehearse(work);
    graph.record(work);
    EXPECT_GE(graph.bytes(), x.bytes());
    graph.launch();
  }
  const Tensor other = Tensor::full({100}, 4, DType::f32, kGpu);
  EXPECT_EQ(result.to(Device{}).values<float>()[99], 3);
  EXPECT_EQ(other.to(Device{}).values<float>()[99], 4);
}

/// What a launch writes to is never given to another tensor, though the tensors of the record are long gone.
TEST_F(GpuGraph, NothingElseGetsItsMemory) {
  const Tensor x = Tensor::full({1000}, 1, DType::f32, kGpu);
  const Tensor out = Tensor::zeros({}, DType::f32, kGpu);
  const auto work = [&] { kernels::sum(x.clone(), out); };
  Graph graph(0);
  graph.rehearse(work);
  graph.record(work);
  std::vector<Tensor> others;
  for (int i = 0; i < 20; ++i) {
    others.push_back(Tensor::full({1000}, i, DType::f32, kGpu));
  }
  graph.launch();
  EXPECT_EQ(out.item(), 1000);
  for (std::size_t i = 0; i < others.size(); ++i) {
    EXPECT_EQ(others[i].to(Device{}).values<float>()[500], static_cast<float>(i));
  }
}

TEST_F(GpuGraph, WhatCannotBeRecordedIsSaid) {
  const Tensor x = Tensor::full({10}, 1, DType::f32, kGpu);
  const Tensor out = Tensor::zeros({}, DType::f32, kGpu);
  const std::vector<float> table{1, 2, 3};
  Graph graph(0);
  EXPECT_THAT(refusal_of(graph, [] {}), HasSubstr("rehearsed"));
  EXPECT_THROW(graph.launch(), Error);
  const auto work = [&] { kernels::sum(x.clone(), out); };
  graph.rehearse(work);
  EXPECT_THAT(refusal_of(graph, [&] { static_cast<void>(out.item()); }), HasSubstr("a copy between devices"));
  EXPECT_THAT(refusal_of(graph, [&] { static_cast<void>(x.to(Device{})); }), HasSubstr("a copy between devices"));
  EXPECT_THAT(refusal_of(graph, [&] { static_cast<void>(Tensor::from<float>({3}, table, kGpu)); }),
              HasSubstr("a copy between devices"));
  EXPECT_THAT(refusal_of(graph, [] { kernels::cuda::synchronize(); }), HasSubstr("waiting for the GPU"));
  EXPECT_THAT(refusal_of(graph, [] { kernels::cuda::synchronize_stream(); }), HasSubstr("waiting for the stream"));
  EXPECT_THAT(refusal_of(graph, [&] { Tensor({1 << 20}, DType::f64, kGpu).fill(0); }), HasSubstr("more memory"));
  EXPECT_FALSE(graph.recorded());
  EXPECT_EQ(x.to(Device{}).values<float>()[9], 1) << "the stream goes on";
  graph.record(work);
  graph.launch();
  EXPECT_EQ(out.item(), 10);
  EXPECT_THAT(refusal_of(graph, work), HasSubstr("not recorded yet"));
}

TEST_F(GpuGraph, TheDefaultStreamIsRefused) {
  stream_ = nullptr;
  Graph graph(0);
  graph.rehearse([] {});
  EXPECT_THAT(refusal_of(graph, [] {}), HasSubstr("default stream"));
  stream_ = kernels::cuda::own_stream(0);
}

}  // namespace
}  // namespace earmark::testing
