// Neighbours found by several ranks, each in its share of the rows, are those that one process finds.
#include "search/shared_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <thread>

#include "kernels/error.h"
#include "tests/compare_tensors.h"
#include "tests/ranks.h"
#include "tests/search/planted.h"

namespace earmark::search {
namespace {

using earmark::testing::same_bits;
using ::testing::HasSubstr;

constexpr std::int64_t kSmallDimension = 16;

/// Rows of which many are alike, so that the order of equal scores counts; 7 tracks of 12 rows in 3 blocks.
Database database_with_ties() {
  const Tensor rows = random_fingerprints(84, kSmallDimension, 3);
  for (std::int64_t row = 0; row < 84; row += 5) {
    rows.slice(row, row + 1).copy_from(rows.slice(row % 3, row % 3 + 1));
  }
  return planted_database(rows, 12, {2, 4, 1});
}

void expect_same_neighbours(const Neighbours& found, const Neighbours& expected) {
  EXPECT_TRUE(same_bits(found.indices, expected.indices));
  EXPECT_TRUE(same_bits(found.scores, expected.scores));
}

TEST(SharedSearch, SharesAreWholeTracksAndCoverAll) {
  const Database database = database_with_ties();
  for (const int size : {1, 2, 3, 7, 9, 40}) {
    EXPECT_EQ(first_row_of_share(database, 0, size), 0);
    EXPECT_EQ(first_row_of_share(database, size, size), 84);
    for (int i = 0; i < size; ++i) {
      const std::int64_t first = first_row_of_share(database, i, size);
      EXPECT_EQ(first % 12, 0) << i << " of " << size;
      EXPECT_LE(first, first_row_of_share(database, i + 1, size));
    }
  }
  EXPECT_EQ(first_row_of_share(Database(), 1, 2), 0);
}

TEST(SharedSearch, BestOfSharesIsWhatOneSearchFinds) {
  const Database database = database_with_ties();
  const Tensor queries = database.widened(0, 40);
  for (const int k : {1, 5, 100}) {
    for (const int size : {1, 2, 3, 9}) {
      std::vector<Neighbours> lists;
      for (int i = 0; i < size; ++i) {
        lists.push_back(exact_search_within(database, queries, k, first_row_of_share(database, i, size),
                                            first_row_of_share(database, i + 1, size)));
      }
      expect_same_neighbours(best_neighbours(lists), exact_search(database, queries, k));
    }
  }
}

TEST(ExactSearch, BytesAreMadeByTheSecondScanAndChangeNothing) {
  const Tensor rows = random_fingerprints(9000, kSmallDimension, 4);
  const Database database = planted_database(rows, 1000, {5, 4});
  const Database copy = database;
  const Tensor queries = random_fingerprints(30, kSmallDimension, 5);
  const Neighbours first = exact_search(database, queries, 5);
  const Neighbours first_without = exact_search_without(planted_database(rows, 1000, {5, 4}), queries, 5, 2000, 3000);
  const auto bytes = database.bytes_for_scan();
  EXPECT_EQ(bytes != nullptr, kernels::byte_rows_are_fast());
  EXPECT_EQ(copy.bytes_for_scan(), bytes);
  expect_same_neighbours(exact_search(database, queries, 5), first);
  expect_same_neighbours(exact_search_without(database, queries, 5, 2000, 3000), first_without);
}

TEST(SharedSearch, EveryThreadOfEveryRankGetsItsOwnAnswers) {
  const Database database = database_with_ties();
  for (const int size : {2, 3}) {
    run_as_ranks(size, [&](const std::shared_ptr<Communicator>& ranks) {
      SharedSearch shared(ranks->another(), database, 4);
      shared.start();
      std::vector<std::thread> threads;
      for (int t = 0; t < ranks->rank() * 2; ++t) {  // rank 0 asks nothing
        threads.emplace_back([&, t] {
          for (int i = 0; i < 5; ++i) {
            const Tensor queries =
                random_fingerprints(1 + t + i, kSmallDimension, static_cast<std::uint64_t>(10 * t + i));
            expect_same_neighbours(shared.search(queries), exact_search(database, queries, 4));
          }
        });
      }
      for (std::thread& thread : threads) {
        thread.join();
      }
      shared.finish();
    });
  }
}

TEST(SharedSearch, ARankThatFailsIsAnErrorForAll) {
  const Database database = database_with_ties();
  const std::vector<std::string> problems = problems_of_threads(3, [&](const std::shared_ptr<Communicator>& ranks) {
    SharedSearch shared(ranks->another(), database, 4);
    shared.start();
    const Tensor queries = random_fingerprints(3, kSmallDimension, 1);
    shared.search(queries);
    check(ranks->rank() != 1, "this one is bad");
    while (true) {
      shared.search(queries);
    }
  });
  EXPECT_EQ(problems[1], "this one is bad");
  EXPECT_THAT(problems[0], HasSubstr("another rank has failed"));
  EXPECT_THAT(problems[2], HasSubstr("another rank has failed"));
}

}  // namespace
}  // namespace earmark::search
