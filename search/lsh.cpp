#include "search/lsh.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/probe.h"
#include "search/lsh_tables.h"

namespace earmark::search {
namespace {

/// Memory of one built table.
struct TableMemory {
  std::vector<std::uint64_t> occupied;
  std::vector<std::uint32_t> before;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> entries;
};

std::vector<std::int32_t> hash_rows(const Database& database, const kernels::HashFamily& family, int table) {
  constexpr std::int64_t kChunk = 4096;
  std::vector<std::int32_t> buckets(static_cast<std::size_t>(database.rows()));
  Tensor codes({kChunk, 1}, DType::i32);
  for (std::int64_t row = 0; row < database.rows(); row += kChunk) {
    const std::int64_t end = std::min(database.rows(), row + kChunk);
    const Tensor chunk = codes.slice(0, end - row);
    kernels::cross_polytope_hash({database.widened(row, end), &family, chunk, table});
    std::copy_n(chunk.data<std::int32_t>(), end - row, buckets.data() + row);
  }
  return buckets;
}

/// Sorts rows by bucket, stably, so that rows of a bucket ascend.
TableMemory compact(const std::vector<std::int32_t>& buckets, int bits) {
  TableMemory table;
  std::vector<std::uint32_t> counts(std::max<std::size_t>(64, std::size_t{1} << static_cast<unsigned>(bits)), 0);
  for (const std::int32_t bucket : buckets) {
    ++counts[static_cast<std::size_t>(bucket)];
  }
  table.occupied.assign(words_of(bits), 0);
  table.before.assign(words_of(bits), 0);
  std::uint32_t position = 0;
  for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
    if (bucket % 64 == 0) {
      table.before[bucket / 64] = static_cast<std::uint32_t>(table.offsets.size());
    }
    if (counts[bucket] > 0) {
      table.occupied[bucket / 64] |= std::uint64_t{1} << (bucket % 64);
      table.offsets.push_back(position);
      position += std::exchange(counts[bucket], position);
    }
  }
  table.offsets.push_back(position);
  table.entries.resize(buckets.size());
  for (std::size_t row = 0; row < buckets.size(); ++row) {
    table.entries[counts[static_cast<std::size_t>(buckets[row])]++] = static_cast<std::uint32_t>(row);
  }
  return table;
}

/// The rows in the probed buckets of one query, each once, ascending. Counts in how many buckets a row was found: near
/// rows are found again and again, so that where there are too many, the count chooses well.
class Candidates {
 public:
  explicit Candidates(std::int64_t rows) : counts_(static_cast<std::size_t>(rows), 0) {}

  void add(std::span<const std::uint32_t> bucket) {
    entries_ += bucket.size();
    std::size_t end = found_.size();
    found_.resize(end + bucket.size());
    for (const std::uint32_t row : bucket) {  // without branches: new rows come in no order
      std::uint8_t& count = counts_[row];
      found_[end] = row;
      end += static_cast<std::size_t>(count == 0);
      count = static_cast<std::uint8_t>(count + static_cast<int>(count < 255));
    }
    found_.resize(end);
  }
  /// Bucket entries looked at since the last call of take().
  std::size_t entries() const { return entries_; }
  /// At most `limit` (0: all) of the rows added since the last call; of the last count that fits, the lower rows.
  const std::vector<std::int64_t>& take(std::size_t limit) {
    std::array<std::size_t, 256> rows_with{};
    for (const std::uint32_t row : found_) {
      ++rows_with[counts_[row]];
    }
    std::size_t least = 1;
    std::size_t room = found_.size();  // for rows with the least count
    if (limit > 0 && found_.size() > limit) {
      std::size_t above = 0;
      least = 255;
      for (; above + rows_with[least] < limit; --least) {
        above += rows_with[least];
      }
      room = limit - above;
    }
    rows_.clear();
    for_each_found([&](std::uint32_t row, std::size_t count) {
      if (count > least || (count == least && room > 0)) {
        room -= count == least ? 1 : 0;
        rows_.push_back(row);
      }
    });
    found_.clear();
    entries_ = 0;
    return rows_;
  }

 private:
  /// Calls f(row, count) in ascending order and forgets the counts. Many rows are found faster by looking at all.
  template <class F>
  void for_each_found(F&& f) {
    constexpr std::size_t kDense = 64;
    if (found_.size() * kDense < counts_.size()) {
      std::sort(found_.begin(), found_.end());
      for (const std::uint32_t row : found_) {
        f(row, std::exchange(counts_[row], 0));
      }
      return;
    }
    for (std::size_t begin = 0; begin < counts_.size(); begin += 8) {
      const std::size_t end = std::min(counts_.size(), begin + 8);
      std::uint64_t eight = 0;
      std::memcpy(&eight, counts_.data() + begin, end - begin);
      for (std::size_t row = begin; eight != 0 && row < end; ++row) {
        if (counts_[row] != 0) {
          f(static_cast<std::uint32_t>(row), std::exchange(counts_[row], 0));
        }
      }
    }
  }

  std::vector<std::uint8_t> counts_;
  std::vector<std::uint32_t> found_;
  std::vector<std::int64_t> rows_;
  std::size_t entries_ = 0;
};

/// Keeps the k best of one query; rows arrive in ascending order, so that ties go to the lower one.
void insert(float score, std::int64_t row, int k, float* scores, std::int64_t* indices) {
  if (!(score > scores[k - 1])) {
    return;
  }
  int at = k - 1;
  for (; at > 0 && scores[at - 1] < score; --at) {
    scores[at] = scores[at - 1];
    indices[at] = indices[at - 1];
  }
  scores[at] = score;
  indices[at] = row;
}

/// Compares one query with ascending rows, block by block.
void compare(const Database& database, const Tensor& query, const std::vector<std::int64_t>& rows, int k, float* scores,
             std::int64_t* indices) {
  auto begin = rows.begin();
  for (const Block& block : database.blocks()) {
    const auto end = std::lower_bound(begin, rows.end(), block.first + block.stored.rows.dim(0));
    if (begin == end) {
      continue;
    }
    const Tensor local({end - begin}, DType::i64);
    std::transform(begin, end, local.mutable_data<std::int64_t>(), [&](std::int64_t row) { return row - block.first; });
    const Tensor products({end - begin});
    kernels::gathered_inner_product({query, block.stored, local, products});
    for (std::int64_t i = 0; i < end - begin; ++i) {
      insert(products.data<float>()[i], begin[i], k, scores, indices);
    }
    begin = end;
  }
}

}  // namespace

LshIndex LshIndex::build(const Database& database, const LshOptions& options) {
  check(database.rows() < std::numeric_limits<std::uint32_t>::max(), "LSH: ", database.rows(),
        " fingerprints are more than its tables can number");
  auto tables = std::make_shared<Tables>();
  tables->options = options;
  tables->family =
      kernels::make_hash_family(database.dimension(), options.tables, options.bits, options.rotations, options.seed);
  tables->rows = database.rows();
  auto memory = std::make_shared<std::vector<TableMemory>>(static_cast<std::size_t>(options.tables));
  parallel_for(options.tables, [&](std::int64_t t) {
    (*memory)[static_cast<std::size_t>(t)] =
        compact(hash_rows(database, tables->family, static_cast<int>(t)), options.bits);
  });
  for (const TableMemory& table : *memory) {
    tables->tables.push_back({table.occupied, table.before, table.offsets, table.entries});
    tables->bytes +=
        table.occupied.size() * 8 + (table.before.size() + table.offsets.size() + table.entries.size()) * 4;
  }
  tables->owner = memory;
  LshIndex index;
  index.tables_ = tables;
  return index;
}

Neighbours LshIndex::search(const Database& database, const Tensor& queries, int k, double* candidates) const {
  constexpr std::int64_t kMostPerTask = 32;
  const Tables& t = *tables_;
  check(database.rows() == t.rows && database.dimension() == queries.dim(1), "LSH tables of ", t.rows,
        " fingerprints do not belong to this database");
  const std::int64_t m = queries.dim(0);
  const std::int64_t probes = std::max(t.options.probes, t.options.tables);
  const Tensor probe_tables({m, probes}, DType::i32);
  const Tensor probe_buckets({m, probes}, DType::i32);
  kernels::probe_sequence({queries, &t.family, probe_tables, probe_buckets});
  Neighbours found{Tensor({m, k}, DType::i64), Tensor({m, k})};
  kernels::topk_begin({queries, {}, 0, found.scores, found.indices});
  std::vector<std::size_t> compared(static_cast<std::size_t>(m));
  parallel_ranges(m, even_grain(m, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    Candidates rows(t.rows);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t* table = probe_tables.data<std::int32_t>() + i * probes;
      const std::int32_t* bucket = probe_buckets.data<std::int32_t>() + i * probes;
      const auto most = static_cast<std::size_t>(t.options.max_entries > 0 ? t.options.max_entries : INT32_MAX);
      for (std::int64_t p = 0; p < probes && table[p] >= 0 && rows.entries() < most; ++p) {
        rows.add(t.tables[static_cast<std::size_t>(table[p])].bucket(bucket[p]));
      }
      const std::vector<std::int64_t>& unique =
          rows.take(static_cast<std::size_t>(std::max(0, t.options.max_candidates)));
      compared[static_cast<std::size_t>(i)] = unique.size();
      compare(database, queries.slice(i, i + 1).reshape({queries.dim(1)}), unique, k,
              found.scores.mutable_data<float>() + i * k, found.indices.mutable_data<std::int64_t>() + i * k);
    }
  });
  if (candidates != nullptr) {
    double sum = 0;
    for (const std::size_t count : compared) {
      sum += static_cast<double>(count);
    }
    *candidates = m > 0 ? sum / static_cast<double>(m) : 0;
  }
  return found;
}

std::span<const std::uint32_t> LshIndex::bucket(int table, std::int32_t number) const {
  check(table >= 0 && table < tables_->options.tables && number >= 0 && (number >> tables_->options.bits) == 0,
        "bucket ", number, " of table ", table);
  return tables_->tables[static_cast<std::size_t>(table)].bucket(number);
}

const LshOptions& LshIndex::options() const { return tables_->options; }
const kernels::HashFamily& LshIndex::family() const { return tables_->family; }
std::size_t LshIndex::bytes() const { return tables_->bytes; }

}  // namespace earmark::search
