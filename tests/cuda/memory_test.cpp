#include "kernels/cuda/memory.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "kernels/cuda/stream.h"
#include "kernels/elementwise.h"
#include "kernels/tensor.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

using kernels::cuda::memory_use;

class GpuMemory : public GpuTest {};
class GpuTensor : public GpuTest {};
class GpuStream : public GpuTest {};

TEST_F(GpuMemory, IsCountedAndGivenBack) {
  const auto before = memory_use();
  {
    const Tensor t({1000}, DType::f32, kGpu);
    EXPECT_EQ(memory_use().allocations, before.allocations + 1);
    EXPECT_EQ(memory_use().blocks, before.blocks + 1);
    EXPECT_EQ(memory_use().bytes, before.bytes + 4000);
  }
  EXPECT_EQ(memory_use().blocks, before.blocks);
  EXPECT_EQ(memory_use().bytes, before.bytes);
  EXPECT_GE(memory_use().peak, before.bytes + 4000);
}

TEST_F(GpuMemory, RefusesWhatCannotBeHadAndGoesOn) {
  try {
    const Tensor t({1 << 20, 1 << 20, 1 << 10}, DType::f32, kGpu);
    FAIL() << "four petabytes";
  } catch (const Error& e) {
    EXPECT_TRUE(std::string(e.what()).starts_with("out of memory on cuda:0: a tensor needs 4503599627370496 bytes, "))
        << e.what();
  }
  EXPECT_EQ(Tensor::full({3}, 2, DType::f32, kGpu).slice(1, 2).item(), 2);
}

TEST_F(GpuMemory, NothingIsNoMemory) {
  const auto before = memory_use();
  const Tensor none = Tensor::zeros({0, 5}, DType::f32, kGpu);
  kernels::add(none, none, none);
  EXPECT_EQ(none.to(Device{}).numel(), 0);
  EXPECT_EQ(memory_use().allocations, before.allocations);
}

TEST_F(GpuTensor, ComesAndGoes) {
  const std::array<float, 6> values{0, 1, 2, 3, 4, 5};
  const Tensor there = Tensor::from<float>({3, 2}, values, kGpu);
  EXPECT_EQ(there.device(), kGpu);
  EXPECT_THROW(static_cast<void>(there.values<float>()), Error);
  EXPECT_EQ(there.slice(1, 2).slice(0, 1).reshape({2}).slice(1, 2).item(), 3);
  const Tensor copy = there.clone();
  there.fill(7);
  const Tensor back = copy.to(Device{});
  EXPECT_EQ(std::memcmp(back.raw(), values.data(), sizeof values), 0);
  back.copy_from(there);
  EXPECT_EQ(back.data<float>()[5], 7);
  copy.slice(0, 1).copy_from(there.slice(2, 3));
  EXPECT_EQ(copy.to(Device{}).data<float>()[1], 7);
  EXPECT_EQ(zeros_like(there).device(), kGpu);
  EXPECT_EQ(zeros_like(there).slice(2, 3).slice(0, 1).to(Device{}).data<float>()[1], 0);
}

TEST_F(GpuTensor, IsFilledAndConvertedLikeOnTheCpu) {
  for (const DType type :
       {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i8, DType::u8, DType::i16, DType::i32, DType::i64}) {
    const Tensor here = Tensor::full({5}, 3.7, type);
    const Tensor there = Tensor::full({5}, 3.7, type, kGpu).to(Device{});
    EXPECT_EQ(std::memcmp(here.raw(), there.raw(), here.bytes()), 0) << name_of(type);
  }
  const std::array<float, 5> values{1.00390625F, -1.01171875F, 3e38F, -1e-30F, 0};
  for (const DType type : {DType::f64, DType::bf16, DType::f16, DType::f32}) {
    const Tensor here = Tensor::from<float>({5}, values).to(type);
    const Tensor there = Tensor::from<float>({5}, values, kGpu).to(type);
    EXPECT_EQ(there.device(), kGpu);
    EXPECT_EQ(std::memcmp(here.raw(), there.to(Device{}).raw(), here.bytes()), 0) << name_of(type);
  }
}

TEST_F(GpuTensor, UnalignedSlicesAreComputedOnAsWell) {
  const Tensor t = Tensor::full({9}, 2, DType::f32, kGpu);
  const Tensor out = Tensor::zeros({9}, DType::f32, kGpu);
  kernels::add(t.slice(1, 8), t.slice(2, 9), out.slice(1, 8));
  const Tensor back = out.to(Device{});
  EXPECT_EQ(back.data<float>()[0], 0);
  EXPECT_EQ(back.data<float>()[1], 4);
  EXPECT_EQ(back.data<float>()[7], 4);
  EXPECT_EQ(back.data<float>()[8], 0);
}

TEST_F(GpuStream, EventsOrderStreams) {
  const kernels::cuda::Stream first;
  const kernels::cuda::Stream second;
  kernels::cuda::Event filled;
  kernels::cuda::synchronize();
  Tensor x;
  Tensor y;
  {
    const kernels::cuda::StreamScope scope(first);
    x = Tensor::full({1000}, 3, DType::f32, kGpu);
    filled.record();
  }
  {
    const kernels::cuda::StreamScope scope(second);
    filled.wait();
    y = Tensor({1000}, DType::f32, kGpu);
    kernels::scale(x, 2, y);
    second.synchronize();
  }
  EXPECT_TRUE(filled.passed());
  EXPECT_EQ(y.slice(999, 1000).item(), 6);
}

TEST_F(GpuStream, PinnedMemoryIsCopiedWithoutWaiting) {
  const auto block = kernels::cuda::pinned(4 * sizeof(float));
  const Tensor here({4}, DType::f32, block.get(), block);
  here.fill(5);
  const Tensor there({4}, DType::f32, kGpu);
  kernels::cuda::copy_async(there.raw(), here.raw(), here.bytes());
  kernels::cuda::synchronize();
  here.fill(6);
  EXPECT_EQ(there.slice(3, 4).item(), 5);
}

TEST_F(GpuMemory, DevicesAreCountedAndNamed) {
  EXPECT_EQ(parse_device("cuda"), kGpu);
  EXPECT_EQ(parse_device("cuda:0"), kGpu);
  EXPECT_EQ(parse_device("auto"), kGpu);
  for (const char* wrong : {"cuda:1000", "cuda:", "cuda:x", "cuda:-1", "cuda0", "cuda:0 "}) {
    EXPECT_THROW(parse_device(wrong), Error) << wrong;
  }
}

}  // namespace
}  // namespace earmark::testing
