// Cross-polytope LSH with multi-probe: L hash tables over all fingerprints; a query looks into a fixed number of
// buckets in order of promise, and what it finds there is compared exactly. Tables are compact: one bit per bucket says
// whether it is occupied, and only occupied buckets have an offset, so that most probes of empty buckets never leave
// the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "kernels/gather.h"
#include "kernels/hash.h"
#include "search/database.h"
#include "search/exact.h"

namespace earmark::search {

struct LshOptions {
  int tables = 50;
  int bits = 0;       // of a bucket's number; 0: by the number of rows, lsh_bits(); 18 in the original
  int rotations = 1;  // rounds of the pseudo-rotation, 1 to 3
  int probes = 600;   // buckets looked into per query row, over all tables, at least one each; 1000 in the original
  std::uint64_t seed = 1;
  /// Rows compared per query row; of more candidates, those found in the most probed buckets. 0: all.
  int max_candidates = 2000;
  /// Bucket entries looked at per query row before the remaining, less promising probes are dropped; 0: no limit.
  /// Fingerprints of music crowd in some buckets, and there the first probes suffice.
  int max_entries = 20000;
};

/// As many as give a bucket two to four rows, 8 to 18.
int lsh_bits(std::int64_t rows);

class LshIndex {
 public:
  /// Hashes every row of `database` on its device; the result depends on nothing but the rows and the options.
  static LshIndex build(const Database& database, const LshOptions& options);
  /// Maps tables saved by save(). Throws Error where the file is damaged or belongs to other rows or options:
  /// `key` identifies the rows (IndexStore::content_key()).
  static LshIndex load(const std::filesystem::path& file, const LshOptions& options, std::uint64_t key);
  void save(const std::filesystem::path& file, std::uint64_t key) const;

  /// The same tables, copied to `device` where they take no more than `budget` bytes of it: then a search of a database
  /// there looks into buckets there. On the CPU, and where they do not fit, the host looks into them.
  LshIndex on(Device device, std::size_t budget) const;
  /// Whether buckets are looked into on `device`, which is not the CPU.
  bool gathers_on(Device device) const;

  /// The rows in the probed buckets of each query, as many as are to be compared: rows [ranges[q][0], ranges[q][1]) of
  /// the list are those of query q, ascending. On the host, or on the queries' device where it gathers.
  struct Candidates {
    Tensor rows;    // any shape, i64
    Tensor ranges;  // (m, 2) i64
  };
  /// Queries (m, d) f32 on the device that chooses the probes.
  Candidates candidates(const Tensor& queries) const;

  /// The k nearest rows among those in the probed buckets, which are compared where they are; all else is done on the
  /// database's device, where the tables are, without the host's taking part until the answers are copied back.
  /// `candidates`, where given, is set to the mean number of distinct rows compared per query row.
  Neighbours search(const Database& database, const Tensor& queries, int k, double* candidates = nullptr) const;
  /// Rows in a bucket, ascending.
  std::span<const std::uint32_t> bucket(int table, std::int32_t number) const;
  const LshOptions& options() const;  ///< Their bits never 0.
  const kernels::HashFamily& family() const;
  std::size_t bytes() const;

 private:
  struct Tables;
  /// The candidates of probes (m, probes) that are on the host, as are the tables.
  Candidates look_up(const Tensor& probe_tables, const Tensor& probe_buckets) const;
  /// So many queries' candidates are held in memory together.
  std::int64_t queries_at_once(Device device) const;

  std::shared_ptr<const Tables> tables_;
  std::shared_ptr<const kernels::BucketTables> resident_;  // null: nowhere but on the host
};

}  // namespace earmark::search
