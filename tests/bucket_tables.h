// Hash tables of random buckets, and probes into them, for the tests of candidates.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "kernels/gather.h"
#include "kernels/random.h"

namespace earmark::testing {

/// `rows` rows in `buckets` buckets (a multiple of 64) of each table; low buckets are crowded.
struct RandomTables {
  std::vector<std::map<std::int32_t, std::vector<std::int32_t>>> contents;  ///< By table: bucket, its rows.
  kernels::BucketTables tables;

  RandomTables(int count, std::int64_t rows, std::int64_t buckets, std::uint64_t seed) {
    RandomStream random(seed);
    tables.rows = rows;
    for (int table = 0; table < count; ++table) {
      auto& content = contents.emplace_back();
      for (std::int64_t row = 0; row < rows; ++row) {
        const double u = random.uniform();
        content[static_cast<std::int32_t>(u * u * u * static_cast<double>(buckets))].push_back(
            static_cast<std::int32_t>(row));
      }
      for (const auto& [bucket, held] : content) {
        tables.largest_bucket = std::max(tables.largest_bucket, static_cast<std::int64_t>(held.size()));
      }
      tables.tables.push_back(compact(content, rows, buckets));
    }
  }

  kernels::BucketTables on(Device device) const {
    kernels::BucketTables out{{}, tables.rows, tables.largest_bucket};
    for (const kernels::BucketTable& t : tables.tables) {
      out.tables.push_back({t.occupied.to(device), t.before.to(device), t.offsets.to(device), t.entries.to(device)});
    }
    return out;
  }

 private:
  static kernels::BucketTable compact(const std::map<std::int32_t, std::vector<std::int32_t>>& content,
                                      std::int64_t rows, std::int64_t buckets) {
    const kernels::BucketTable out{Tensor::zeros({buckets / 64}, DType::i64), Tensor({buckets / 64}, DType::i32),
                                   Tensor({static_cast<std::int64_t>(content.size()) + 1}, DType::i32),
                                   Tensor({rows}, DType::i32)};
    auto* occupied = reinterpret_cast<std::uint64_t*>(out.occupied.mutable_data<std::int64_t>());
    std::int32_t number = 0;
    std::int32_t position = 0;
    for (std::int32_t bucket = 0; bucket < buckets; ++bucket) {
      if (bucket % 64 == 0) {
        out.before.mutable_data<std::int32_t>()[bucket / 64] = number;
      }
      const auto found = content.find(bucket);
      if (found == content.end()) {
        continue;
      }
      occupied[bucket / 64] |= std::uint64_t{1} << static_cast<unsigned>(bucket % 64);
      out.offsets.mutable_data<std::int32_t>()[number++] = position;
      for (const std::int32_t row : found->second) {
        out.entries.mutable_data<std::int32_t>()[position++] = row;
      }
    }
    out.offsets.mutable_data<std::int32_t>()[number] = position;
    return out;
  }
};

/// Distinct (table, bucket) pairs for each of `queries`; every fourth query ends early.
struct RandomProbes {
  Tensor tables;
  Tensor buckets;

  RandomProbes(std::int64_t queries, std::int64_t probes, int table_count, std::int64_t bucket_count,
               std::uint64_t seed)
      : tables({queries, probes}, DType::i32), buckets({queries, probes}, DType::i32) {
    RandomStream random(seed);
    for (std::int64_t q = 0; q < queries; ++q) {
      const auto first = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(bucket_count)));
      for (std::int64_t p = 0; p < probes; ++p) {
        const bool ended = q % 4 == 3 && p >= probes / 2;
        const std::int64_t bucket = (first + p / table_count * 7) % bucket_count;
        tables.mutable_data<std::int32_t>()[q * probes + p] = ended ? -1 : static_cast<std::int32_t>(p % table_count);
        buckets.mutable_data<std::int32_t>()[q * probes + p] = ended ? -1 : static_cast<std::int32_t>(bucket);
      }
    }
  }
};

}  // namespace earmark::testing
