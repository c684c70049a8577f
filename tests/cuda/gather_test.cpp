// Candidates of LSH: the CPU's, row by row, around every limit.
#include "kernels/gather.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/bucket_tables.h"
#include "tests/cuda/gpu.h"

namespace earmark::testing {
namespace {

class GpuGather : public GpuTest {};

std::vector<std::vector<std::int64_t>> gathered(const kernels::BucketTables& tables, const RandomProbes& p,
                                                Device device, std::int64_t max_entries, std::int64_t max_candidates,
                                                std::int64_t spare) {
  const std::int64_t m = p.tables.dim(0);
  const std::int64_t most = kernels::most_candidates(tables, p.tables.dim(1), max_entries, max_candidates);
  const Tensor lists = Tensor::full({m, most + spare}, -7, DType::i64, device);
  const Tensor ranges({m, 2}, DType::i64, device);
  kernels::gather_candidates(
      {&tables, p.tables.to(device), p.buckets.to(device), max_entries, max_candidates, lists, ranges});
  const Tensor all = lists.to(Device{});
  const Tensor bounds = ranges.to(Device{});
  std::vector<std::vector<std::int64_t>> out;
  std::int64_t kept = 0;
  for (std::int64_t q = 0; q < m; ++q) {
    const std::int64_t* range = bounds.data<std::int64_t>() + 2 * q;
    EXPECT_EQ(range[0], q * (most + spare));
    out.emplace_back(all.data<std::int64_t>() + range[0], all.data<std::int64_t>() + range[1]);
    kept += range[1] - range[0];
  }
  EXPECT_EQ(std::count(all.values<std::int64_t>().begin(), all.values<std::int64_t>().end(), -7), all.numel() - kept)
      << "nothing is written behind a list";
  return out;
}

void expect_the_cpus(const RandomTables& t, const RandomProbes& p, std::int64_t max_entries,
                     std::int64_t max_candidates) {
  const auto want = gathered(t.tables, p, Device{}, max_entries, max_candidates, 2);
  const auto got = gathered(t.on(kGpu), p, kGpu, max_entries, max_candidates, 2);
  EXPECT_EQ(got, want) << max_entries << " entries, " << max_candidates << " candidates";
}

TEST_F(GpuGather, CandidatesAreTheCpus) {
  const RandomTables tables(5, 600, 128, 1);
  const RandomProbes probes(5, 40, 5, 128, 2);
  for (const std::int64_t max_entries : {0, 1, 60, 500}) {
    for (const std::int64_t max_candidates : {0, 1, 17, 100}) {
      expect_the_cpus(tables, probes, max_entries, max_candidates);
    }
  }
}

/// Where the cut goes through rows that were found equally often, it is the lower rows that stay, at every place of it.
TEST_F(GpuGather, CutsAmongEqualsAreTheCpus) {
  const RandomTables tables(3, 70, 64, 7);
  const RandomProbes probes(2, 33, 3, 64, 8);
  for (std::int64_t most = 1; most <= 12; ++most) {
    expect_the_cpus(tables, probes, 0, 5 * most);
  }
}

/// The same few rows in every bucket: a count goes beyond 255, where the CPU stops counting, and all are equal.
TEST_F(GpuGather, CountsEndAt255) {
  const RandomTables tables(300, 40, 64, 3);
  RandomProbes probes(2, 600, 300, 64, 4);
  for (std::int64_t i = 0; i < probes.buckets.numel(); ++i) {
    if (probes.buckets.data<std::int32_t>()[i] >= 0) {
      probes.buckets.mutable_data<std::int32_t>()[i] = static_cast<std::int32_t>(i % 600 / 300);
    }
  }
  expect_the_cpus(tables, probes, 0, 7);
  expect_the_cpus(tables, probes, 3000, 0);
}

/// Every probe of every query is of one table's one bucket, which holds all rows: nothing but duplicates.
TEST_F(GpuGather, AllDuplicates) {
  const RandomTables tables(4, 37, 64, 5);
  RandomTables one = tables;
  one.tables.tables = {};
  for (int i = 0; i < 4; ++i) {
    const kernels::BucketTable table{Tensor::full({1}, 1, DType::i64), Tensor::zeros({1}, DType::i32),
                                     Tensor({2}, DType::i32), Tensor({37}, DType::i32)};
    table.offsets.mutable_data<std::int32_t>()[0] = 0;
    table.offsets.mutable_data<std::int32_t>()[1] = 37;
    for (std::int32_t row = 0; row < 37; ++row) {
      table.entries.mutable_data<std::int32_t>()[row] = row;
    }
    one.tables.tables.push_back(table);
  }
  one.tables.largest_bucket = 37;
  RandomProbes probes(3, 4, 4, 64, 6);
  probes.buckets.fill(0);
  for (const std::int64_t max_candidates : {0, 1, 36, 37, 38}) {
    expect_the_cpus(one, probes, 0, max_candidates);
    expect_the_cpus(one, probes, 38, max_candidates);
  }
}

TEST_F(GpuGather, OneQueryOneProbeOneRow) {
  const RandomTables tables(1, 1, 64, 1);
  RandomProbes probes(1, 1, 1, 64, 1);
  probes.buckets.fill(tables.contents[0].begin()->first);
  expect_the_cpus(tables, probes, 0, 0);
  expect_the_cpus(tables, probes, 1, 1);
  probes.buckets.fill((tables.contents[0].begin()->first + 1) % 64);  // an empty bucket
  expect_the_cpus(tables, probes, 0, 0);
}

TEST_F(GpuGather, NoQueriesAndNoProbes) {
  const RandomTables tables(2, 50, 64, 1);
  expect_the_cpus(tables, RandomProbes(0, 4, 2, 64, 1), 0, 5);
  RandomProbes ended(2, 3, 2, 64, 1);
  ended.tables.fill(-1);
  expect_the_cpus(tables, ended, 10, 5);
}

/// So many rows that what is kept no longer fits in shared memory.
TEST_F(GpuGather, SortsLongListsInMemory) {
  const RandomTables tables(2, 5000, 64, 9);
  RandomProbes probes(1, 128, 2, 64, 10);
  expect_the_cpus(tables, probes, 0, 0);
}

}  // namespace
}  // namespace earmark::testing
