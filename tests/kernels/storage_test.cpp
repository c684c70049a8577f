#include "kernels/storage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/error.h"
#include "kernels/tensor.h"

namespace earmark {
namespace {

#ifdef EARMARK_POISON
constexpr bool kPoisoned = true;
#else
constexpr bool kPoisoned = false;
#endif
#ifdef __SANITIZE_ADDRESS__
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

#ifdef __SANITIZE_THREAD__
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

TEST(Storage, IsAlignedToCacheLines) {
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{65}, std::size_t{5000}, std::size_t{3} << 20U}) {
    const Storage s(bytes, {});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(s.data()) % 64, 0U) << bytes;
    std::memset(s.data(), 1, bytes);
  }
}

TEST(Storage, ReusesAndReportsMemory) {
  if (kAddressSanitizer) {
    GTEST_SKIP() << "AddressSanitizer builds keep no cache, so that use after free is seen";
  }
  release_cached_memory();
  const MemoryReport before = cpu_memory();
  EXPECT_EQ(before.cached, 0U);
  const std::byte* first = nullptr;
  {
    const Storage s(100000, {});
    first = s.data();
    EXPECT_GE(cpu_memory().in_use, before.in_use + 100000);
  }
  EXPECT_GE(cpu_memory().cached, 100000U);
  const Storage again(100000, {});
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(cpu_memory().cached, 0U);
}

TEST(Storage, DoesNotPileUpSizesThatNeverReturn) {
  release_cached_memory();
  std::size_t total = 0;
  for (std::size_t size = 1000; size < 40'000'000; size = size * 9 / 8) {
    const Storage s(size, {});
    total += size;
  }
  const MemoryReport report = cpu_memory();
  EXPECT_LE(report.cached, 2 * report.peak);
  EXPECT_GT(total, 2 * report.peak) << "the sizes are too few to show anything";
  release_cached_memory();
}

TEST(Storage, RefusesWhatCannotBeHad) {
  if (kAddressSanitizer || kThreadSanitizer) {
    GTEST_SKIP() << "the sanitizers abort on impossible sizes instead of returning null";
  }
  EXPECT_THROW(Storage(std::size_t{1} << 55U, {}), Error);
  EXPECT_THROW(Tensor({1 << 20, 1 << 20, 1 << 10}), Error);
  const Storage still_works(64, {});
  EXPECT_NE(still_works.data(), nullptr);
}

TEST(Storage, RefusesShapesThatOverflow) {
  EXPECT_THROW(Shape({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  EXPECT_THROW(Shape({std::int64_t{1} << 62, 8, 0}), Error);
  EXPECT_THROW(Shape({-1}), Error);
}

TEST(Storage, KeepsTheOwnerOfBorrowedMemoryAlive) {
  auto owner = std::make_shared<std::vector<float>>(4, 1.5F);
  const std::weak_ptr<std::vector<float>> watched = owner;
  {
    const Tensor view({4}, DType::f32, owner->data(), owner);
    owner.reset();
    EXPECT_EQ(view.slice(3, 4).item(), 1.5);
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
}

TEST(Storage, IsSafeFromSeveralThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) {
        const auto bytes = static_cast<std::size_t>(64 * (1 + (i * 7 + t) % 9));
        const Storage s(bytes, {});
        std::memset(s.data(), t, bytes);
        EXPECT_EQ(std::to_integer<int>(s.data()[bytes - 1]), t);
      }
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
}

TEST(Poison, FreshMemoryIsNaN) {
  if (!kPoisoned) {
    GTEST_SKIP() << "built without EARMARK_POISON";
  }
  { const Tensor used = Tensor::full({100}, 1); }
  const Tensor fresh({100});
  EXPECT_TRUE(std::isnan(fresh.data<float>()[0]) && std::isnan(fresh.data<float>()[99]));
  EXPECT_TRUE(std::isnan(Tensor({3}, DType::f64).data<double>()[2]));
}

void write_behind(std::int64_t distance) {
  const Tensor t({10});
  t.raw()[static_cast<std::ptrdiff_t>(t.bytes()) + distance] = std::byte{0};
}

TEST(PoisonDeathTest, AWriteBehindATensorIsFoundWhenItIsFreed) {
  if (!kPoisoned || kAddressSanitizer) {
    GTEST_SKIP() << "the fence is checked in builds with EARMARK_POISON; AddressSanitizer sees the write itself first";
  }
  EXPECT_DEATH(write_behind(0), "");
  EXPECT_DEATH(write_behind(40), "");
}

}  // namespace
}  // namespace earmark
