// Searching on a GPU: the CPU's answers, whether all rows fit in or only some of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/memory.h"
#include "search/exact.h"
#include "search/lsh.h"
#include "search/matcher.h"
#include "tests/cuda/gpu.h"
#include "tests/search/planted.h"

namespace earmark::search {
namespace {

using earmark::testing::kGpu;

constexpr std::int64_t kTrackRows = 30;
constexpr std::int64_t kDimension = 32;
constexpr std::int64_t kRows = 12 * kTrackRows;
constexpr std::size_t kBytes = kRows * kDimension * sizeof(float);
constexpr std::size_t kPlenty = 1U << 30U;

/// Rows of type `dtype` in two blocks of 5 and 7 tracks.
Database database_of(const Tensor& rows, DType dtype, bool one_scale = false) {
  const Database wide = planted_database(rows, kTrackRows, {5, 7});
  std::vector<Block> blocks;
  for (const Block& block : wide.blocks()) {
    const std::int64_t n = block.stored.rows.dim(0);
    const kernels::StoredRows narrow{Tensor(block.stored.rows.shape(), dtype),
                                     dtype == DType::i8 ? Tensor({one_scale ? 1 : n}) : Tensor()};
    kernels::narrow_rows(block.stored.rows, narrow);
    blocks.push_back({narrow, block.first});
  }
  return {rows.dim(1), std::move(blocks), wide.tracks()};
}

class GpuSearch : public earmark::testing::GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    before_ = kernels::cuda::memory_use();
  }
  void TearDown() override {
    if (!IsSkipped()) {
      EXPECT_EQ(kernels::cuda::memory_use().blocks, before_.blocks) << "memory was not given back";
    }
  }

  const Tensor rows_ = random_fingerprints(kRows, kDimension, 1);
  const Tensor queries_ = noisy(rows_.slice(40, 100), 0.5, 2);
  kernels::cuda::MemoryUse before_;
};

void expect_same(const Neighbours& got, const Neighbours& want) {
  ASSERT_EQ(got.indices.shape(), want.indices.shape());
  EXPECT_EQ(got.indices.device(), Device{});
  for (std::int64_t i = 0; i < want.indices.numel(); ++i) {
    ASSERT_EQ(got.indices.data<std::int64_t>()[i], want.indices.data<std::int64_t>()[i]) << i;
    const float score = want.scores.data<float>()[i];
    EXPECT_TRUE(got.scores.data<float>()[i] == score || std::abs(got.scores.data<float>()[i] - score) < 2e-6F) << i;
  }
}

TEST_F(GpuSearch, KeepsWholeTracksThatFitAndLeavesTheOthers) {
  const Database here = database_of(rows_, DType::i8);
  const std::size_t row = kDimension + sizeof(float);
  const auto resident = [&](std::size_t budget) {
    std::vector<std::int64_t> rows;
    std::int64_t first = 0;
    const Database there = here.on(kGpu, budget);
    EXPECT_EQ(there.device(), kGpu);
    for (const Block& block : there.blocks()) {
      EXPECT_EQ(block.first, first);
      first += block.stored.rows.dim(0);
      rows.push_back(block.stored.rows.device() == kGpu ? block.stored.rows.dim(0) : -block.stored.rows.dim(0));
    }
    EXPECT_EQ(first, kRows);
    return rows;
  };
  using Ranges = std::vector<std::int64_t>;
  EXPECT_EQ(resident(kPlenty), (Ranges{150, 210}));
  EXPECT_EQ(resident(kRows * row), (Ranges{150, 210}));
  EXPECT_EQ(resident(kRows * row - 1), (Ranges{150, 150, -60}));  // an eighth is left to the part that is scanned
  EXPECT_EQ(resident(80 * row), (Ranges{60, -90, -210}));
  EXPECT_EQ(resident(0), (Ranges{-150, -210}));
  EXPECT_EQ(here.on(kGpu, 80 * row).part_rows(), 10);
  EXPECT_EQ(here.on(Device{}, 0).device(), Device{});
  EXPECT_THROW(here.on(kGpu, 0).on(kGpu, 0), Error);
}

TEST_F(GpuSearch, ExactNeighboursAreTheCpusHoweverMuchFitsIn) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    const Database here = database_of(rows_, dtype, dtype == DType::i8);
    const Neighbours want = exact_search(here, queries_, 5);
    const Neighbours without = exact_search_without(here, queries_, 5, 2 * kTrackRows, 3 * kTrackRows);
    for (const std::size_t budget : {kPlenty, kBytes / 2, kBytes / 5}) {
      const Database there = here.on(kGpu, budget);
      expect_same(exact_search(there, queries_, 5), want);
      expect_same(exact_search_without(there, queries_, 5, 2 * kTrackRows, 3 * kTrackRows), without);
    }
  }
}

TEST_F(GpuSearch, SearchesRowByRowWhereNothingFitsInAndQueriesAnywhere) {
  const Database here = database_of(rows_, DType::i8);
  const Tensor queries = queries_.slice(0, 3);
  expect_same(exact_search(here.on(kGpu, 0), queries.to(kGpu), 5), exact_search(here, queries, 5));
}

TEST_F(GpuSearch, ScanInPartsTakesNoMoreThanItsBudget) {
  const Database here = database_of(rows_, DType::f32);
  const std::size_t budget = kBytes / 3;
  const Database there = here.on(kGpu, budget);
  const kernels::cuda::MemoryUse placed = kernels::cuda::memory_use();
  EXPECT_LE(placed.bytes - before_.bytes, budget);
  const std::int64_t allocations = placed.allocations;
  expect_same(exact_search(there, queries_, 3), exact_search(here, queries_, 3));
  EXPECT_GT(kernels::cuda::memory_use().allocations, allocations);
  EXPECT_EQ(kernels::cuda::memory_use().bytes, placed.bytes);
}

TEST_F(GpuSearch, WidenedRowsAreTheCpus) {
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    const Database here = database_of(rows_, dtype);
    const Tensor want = here.widened(100, 300);
    const Tensor got = here.on(kGpu, kBytes / 8).widened(100, 300);
    EXPECT_EQ(got.device(), kGpu);
    EXPECT_TRUE(std::ranges::equal(got.to(Device{}).values<float>(), want.values<float>())) << name_of(dtype);
  }
}

TEST_F(GpuSearch, HashTablesAreTheCpusBucketByBucket) {
  const LshOptions options{9, 9, 1, 60, 3, 0, 0};
  for (const DType dtype : {DType::f32, DType::f16, DType::i8}) {
    const Database here = database_of(rows_, dtype);
    const LshIndex want = LshIndex::build(here, options);
    const LshIndex got = LshIndex::build(here.on(kGpu, kBytes / 4), options);
    EXPECT_EQ(got.bytes(), want.bytes());
    for (int table = 0; table < options.tables; ++table) {
      for (std::int32_t bucket = 0; bucket < (1 << options.bits); ++bucket) {
        ASSERT_TRUE(std::ranges::equal(got.bucket(table, bucket), want.bucket(table, bucket)))
            << name_of(dtype) << ", bucket " << bucket << " of table " << table;
      }
    }
  }
}

std::vector<std::vector<std::int64_t>> lists_of(const LshIndex::Candidates& candidates) {
  const Tensor rows = candidates.rows.to(Device{});
  const Tensor ranges = candidates.ranges.to(Device{});
  std::vector<std::vector<std::int64_t>> lists;
  for (std::int64_t q = 0; q < ranges.dim(0); ++q) {
    const std::int64_t* range = ranges.data<std::int64_t>() + 2 * q;
    lists.emplace_back(rows.data<std::int64_t>() + range[0], rows.data<std::int64_t>() + range[1]);
  }
  return lists;
}

/// Limits of entries and candidates.
const std::vector<std::pair<int, int>> kLimits{{0, 0}, {0, 20}, {90, 0}, {90, 20}, {1, 1}};

TEST_F(GpuSearch, CandidatesAreTheCpusQueryByQuery) {
  const Database here = database_of(rows_, DType::f32);
  for (const auto& [entries, most] : kLimits) {
    const LshIndex index = LshIndex::build(here, {9, 9, 1, 60, 3, most, entries});
    const LshIndex there = index.on(kGpu, kPlenty);
    EXPECT_TRUE(there.gathers_on(kGpu));
    EXPECT_FALSE(there.gathers_on(Device{}));
    const LshIndex::Candidates got = there.candidates(queries_.to(kGpu));
    EXPECT_EQ(got.rows.device(), kGpu);
    EXPECT_EQ(lists_of(got), lists_of(index.candidates(queries_))) << entries << ", " << most;
  }
}

TEST_F(GpuSearch, HashedNeighboursAreTheCpusWhereverTablesAndRowsAre) {
  const Database here = database_of(rows_, DType::f32);
  for (const auto& [entries, most] : kLimits) {
    const LshIndex index = LshIndex::build(here, {9, 9, 1, 60, 3, most, entries});
    double compared = 0;
    double compared_there = 0;
    const Neighbours want = index.search(here, queries_, 4, &compared);
    for (const std::size_t budget : {kPlenty, kBytes / 3, std::size_t{0}}) {
      const Database there = here.on(kGpu, budget);
      for (const LshIndex& tables : {index, index.on(kGpu, kPlenty), index.on(kGpu, index.bytes() - 1)}) {
        expect_same(tables.search(there, queries_, 4, &compared_there), want);
        EXPECT_EQ(compared_there, compared);
      }
    }
  }
}

TEST_F(GpuSearch, TablesThatDoNotFitStayOnTheHost) {
  const LshIndex index = LshIndex::build(database_of(rows_, DType::f32), {9, 9, 1, 60, 3, 0, 0});
  EXPECT_FALSE(index.gathers_on(kGpu));
  EXPECT_FALSE(index.on(kGpu, index.bytes() - 1).gathers_on(kGpu));
  const LshIndex there = index.on(kGpu, index.bytes());
  EXPECT_TRUE(there.gathers_on(kGpu));
  EXPECT_FALSE(there.on(Device{}, kPlenty).gathers_on(kGpu));
}

void expect_same(const std::vector<Match>& got, const std::vector<Match>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].track_id, want[i].track_id);
    EXPECT_NEAR(got[i].start_s, want[i].start_s, 1e-4);
    EXPECT_NEAR(got[i].score, want[i].score, 1e-5);
    EXPECT_NEAR(got[i].confidence, want[i].confidence, 1e-4);
    EXPECT_EQ(got[i].votes, want[i].votes);
    EXPECT_EQ(got[i].matched, want[i].matched);
  }
}

TEST_F(GpuSearch, AnswersAreTheCpusForManyQueriesAtOnce) {
  const Database here = database_of(rows_, DType::f16);
  const std::vector<QueryRange> queries{{0, 12}, {5, 25}, {30, 30}, {0, 60}, {59, 60}};
  for (const Method method : {Method::exact, Method::lsh}) {
    for (const Ranking ranking : {Ranking::scored, Ranking::vote, Ranking::vote_track, Ranking::sequence}) {
      MatcherOptions options;
      options.method = method;
      options.ranking = ranking;
      options.top = 2;
      options.lsh = {9, 9, 1, 60, 3, 0, 0};
      const std::vector<std::vector<Match>> want = Matcher(here, options).match(queries_, queries);
      for (const std::size_t budget : {kPlenty, kBytes / 6}) {
        const Database there = here.on(kGpu, budget);
        const std::vector<std::vector<Match>> got = Matcher(there, options).match(queries_, queries);
        for (std::size_t q = 0; q < queries.size(); ++q) {
          expect_same(got[q], want[q]);
        }
      }
    }
  }
}

TEST_F(GpuSearch, SimilaritiesAreTheCpus) {
  const Database here = database_of(rows_, DType::f32);
  const Database there = here.on(kGpu, kPlenty);
  const std::vector<double> want = Matcher(here).similarities(queries_, 2, -0.5);
  const std::vector<double> got = Matcher(there).similarities(queries_, 2, -0.5);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 2e-6);
  }
}

}  // namespace
}  // namespace earmark::search
