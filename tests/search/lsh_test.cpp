#include "search/lsh.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <vector>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "tests/search/planted.h"
#include "tests/test_support.h"

namespace earmark::search {
namespace {

LshOptions small_options() { return {8, 9, 1, 100, 3, 0, 0}; }

Database database_of(const Tensor& rows) { return planted_database(rows, rows.dim(0) / 4, {1, 3}); }

TEST(LshIndexTest, BucketsHoldExactlyTheRowsThatHashThere) {
  const Tensor rows = random_fingerprints(2000, 32, 1);
  const LshIndex index = LshIndex::build(database_of(rows), small_options());
  Tensor codes({rows.dim(0), 8}, DType::i32);
  kernels::cross_polytope_hash({rows, &index.family(), codes});
  for (int table = 0; table < 8; ++table) {
    std::map<std::int32_t, std::vector<std::uint32_t>> expected;
    for (std::uint32_t row = 0; row < 2000; ++row) {
      expected[codes.data<std::int32_t>()[row * 8 + static_cast<std::uint32_t>(table)]].push_back(row);
    }
    for (std::int32_t bucket = 0; bucket < (1 << 9); ++bucket) {
      EXPECT_TRUE(std::ranges::equal(index.bucket(table, bucket), expected[bucket])) << table << " " << bucket;
    }
  }
}

TEST(LshIndexTest, AllBucketsProbedIsExactSearch) {
  const Tensor rows = random_fingerprints(500, 16, 2);
  const Database database = database_of(rows);
  LshOptions everything = small_options();
  everything.tables = 2;
  everything.bits = 6;
  everything.probes = 2 * 64;
  const Tensor queries = random_fingerprints(30, 16, 5);
  double candidates = 0;
  const Neighbours found = LshIndex::build(database, everything).search(database, queries, 5, &candidates);
  const Neighbours exact = exact_search(database, queries, 5);
  EXPECT_EQ(candidates, 500);
  EXPECT_TRUE(std::ranges::equal(found.indices.values<std::int64_t>(), exact.indices.values<std::int64_t>()));
}

TEST(LshIndexTest, FindsNearNeighboursInFewCandidates) {
  const Tensor rows = random_fingerprints(20000, 128, 3);
  const Database database = database_of(rows);
  const LshIndex index = LshIndex::build(database, {20, 14, 1, 400, 1, 0, 0});
  const Tensor queries = noisy(rows.slice(5000, 5200), 0.8, 4);
  double candidates = 0;
  const Neighbours found = index.search(database, queries, 1, &candidates);
  int right = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    right += found.indices.data<std::int64_t>()[i] == 5000 + i ? 1 : 0;
  }
  EXPECT_GT(right, 190);
  EXPECT_LT(candidates, 4000);
}

TEST(LshIndexTest, OfTooManyCandidatesThoseFoundMostOftenAreCompared) {
  const Tensor rows = random_fingerprints(20000, 128, 3);
  const Database database = database_of(rows);
  const LshIndex index = LshIndex::build(database, {20, 14, 1, 400, 1, 50, 0});
  const Tensor queries = noisy(rows.slice(5000, 5200), 0.8, 4);
  double candidates = 0;
  const Neighbours found = index.search(database, queries, 1, &candidates);
  int right = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    right += found.indices.data<std::int64_t>()[i] == 5000 + i ? 1 : 0;
  }
  EXPECT_GT(right, 190);
  EXPECT_LE(candidates, 50);
  EXPECT_GT(candidates, 40);
}

TEST(LshIndexTest, ThreadsDoNotChangeTheTables) {
  const Database database = database_of(random_fingerprints(3000, 32, 4));
  const int before = num_threads();
  set_num_threads(1);
  const LshIndex one = LshIndex::build(database, small_options());
  set_num_threads(3);
  const LshIndex three = LshIndex::build(database, small_options());
  set_num_threads(before);
  for (std::int32_t bucket = 0; bucket < (1 << 9); ++bucket) {
    EXPECT_TRUE(std::ranges::equal(one.bucket(5, bucket), three.bucket(5, bucket)));
  }
}

TEST(LshIndexTest, SavedTablesAreTheSame) {
  const testing::TemporaryFolder folder;
  const Tensor rows = random_fingerprints(1000, 32, 5);
  const Database database = database_of(rows);
  const LshIndex built = LshIndex::build(database, small_options());
  built.save(folder / "lsh.cache", 42);
  const LshIndex loaded = LshIndex::load(folder / "lsh.cache", small_options(), 42);
  const Tensor queries = noisy(rows.slice(0, 50), 0.5, 1);
  EXPECT_TRUE(std::ranges::equal(built.search(database, queries, 3).indices.values<std::int64_t>(),
                                 loaded.search(database, queries, 3).indices.values<std::int64_t>()));
}

TEST(LshIndexTest, BitsFollowTheNumberOfRowsUnlessTheyAreGiven) {
  EXPECT_EQ(lsh_bits(0), 8);
  EXPECT_EQ(lsh_bits(1023), 8);
  EXPECT_EQ(lsh_bits(2048), 10);
  EXPECT_EQ(lsh_bits(143675), 16);
  EXPECT_EQ(lsh_bits(100'000'000), 18);
  const testing::TemporaryFolder folder;
  LshOptions by_size = small_options();
  by_size.bits = 0;
  const LshIndex built = LshIndex::build(database_of(random_fingerprints(2100, 32, 5)), by_size);
  EXPECT_EQ(built.options().bits, 10);
  built.save(folder / "lsh.cache", 42);
  EXPECT_EQ(LshIndex::load(folder / "lsh.cache", by_size, 42).options().bits, 10);
  by_size.bits = 10;
  EXPECT_NO_THROW(LshIndex::load(folder / "lsh.cache", by_size, 42));
  EXPECT_THROW(LshIndex::load(folder / "lsh.cache", small_options(), 42), Error);
}

TEST(LshIndexTest, RefusesTablesOfOtherContentOptionsAndDamage) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "lsh.cache";
  LshIndex::build(database_of(random_fingerprints(1000, 32, 5)), small_options()).save(file, 42);
  EXPECT_THROW(LshIndex::load(file, small_options(), 43), Error);
  LshOptions other = small_options();
  other.seed = 4;
  EXPECT_THROW(LshIndex::load(file, other, 42), Error);
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(3000).put('x').put('y');
  EXPECT_THROW(LshIndex::load(file, small_options(), 42), Error);
  std::filesystem::resize_file(file, 500);
  EXPECT_THROW(LshIndex::load(file, small_options(), 42), Error);
  std::filesystem::resize_file(file, 10);
  EXPECT_THROW(LshIndex::load(file, small_options(), 42), Error);
  EXPECT_THROW(LshIndex::load(folder / "nothing", small_options(), 42), Error);
}

}  // namespace
}  // namespace earmark::search
