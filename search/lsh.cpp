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
#include "kernels/trace.h"
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

/// The bucket of every row in each of `count` tables from `first` on, hashed on the database's device.
std::vector<std::vector<std::int32_t>> hash_rows(const Database& database, const kernels::HashFamily& family, int first,
                                                 int count) {
  constexpr std::int64_t kChunk = 65536;
  std::vector<std::vector<std::int32_t>> buckets(static_cast<std::size_t>(count));
  for (std::vector<std::int32_t>& of_table : buckets) {
    of_table.resize(static_cast<std::size_t>(database.rows()));
  }
  for (std::int64_t row = 0; row < database.rows(); row += kChunk) {
    const std::int64_t end = std::min(database.rows(), row + kChunk);
    const Tensor hashed({end - row, count}, DType::i32, database.device());
    kernels::cross_polytope_hash({database.widened(row, end), &family, hashed, first});
    const Tensor codes = hashed.to(Device{});
    parallel_for(count, [&](std::int64_t table) {
      const std::int32_t* from = codes.data<std::int32_t>() + table;
      std::int32_t* to = buckets[static_cast<std::size_t>(table)].data() + row;
      for (std::int64_t i = 0; i < end - row; ++i) {
        to[i] = from[i * count];
      }
    });
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

/// Rows to be compared with each of some queries, ascending.
using CandidateRows = std::vector<std::vector<std::int64_t>>;

/// Compares queries with those of their candidates that lie in `block`, where its rows are, and keeps the k best in
/// `found`. begins[q] is the first candidate of query q that is not behind the block; it is moved on.
void compare_in_block(const Block& block, const Tensor& queries, const CandidateRows& candidates,
                      std::vector<std::size_t>& begins, const Neighbours& found) {
  const TraceRange range("compare candidates");
  const std::int64_t after = block.first + block.stored.rows.dim(0);
  std::vector<std::int64_t> owners;
  std::vector<std::int64_t> rows;
  std::vector<std::size_t> firsts;  // of each query's candidates among all
  for (std::size_t q = 0; q < candidates.size(); ++q) {
    firsts.push_back(rows.size());
    for (std::size_t& at = begins[q]; at < candidates[q].size() && candidates[q][at] < after; ++at) {
      owners.push_back(static_cast<std::int64_t>(q));
      rows.push_back(candidates[q][at] - block.first);
    }
  }
  firsts.push_back(rows.size());
  if (rows.empty()) {
    return;
  }
  const Shape shape{static_cast<std::int64_t>(rows.size())};
  const Device device = block.stored.rows.device();
  const Tensor out(shape, DType::f32, device);
  kernels::gathered_inner_product({queries.to(device), block.stored, Tensor::from<std::int64_t>(shape, owners),
                                   Tensor::from<std::int64_t>(shape, rows), out});
  const Tensor products = out.to(Device{});
  const auto k = static_cast<int>(found.scores.dim(1));
  parallel_for(static_cast<std::int64_t>(candidates.size()), [&](std::int64_t q) {
    for (std::size_t i = firsts[static_cast<std::size_t>(q)]; i < firsts[static_cast<std::size_t>(q) + 1]; ++i) {
      insert(products.data<float>()[i], rows[i] + block.first, k, found.scores.mutable_data<float>() + q * k,
             found.indices.mutable_data<std::int64_t>() + q * k);
    }
  });
}

}  // namespace

LshIndex LshIndex::build(const Database& database, const LshOptions& options) {
  const TraceRange range("hash tables");
  constexpr int kTablesAtOnce = 8;  // their buckets are held in memory together
  check(database.rows() < std::numeric_limits<std::uint32_t>::max(), "LSH: ", database.rows(),
        " fingerprints are more than its tables can number");
  auto tables = std::make_shared<Tables>();
  tables->options = options;
  tables->family =
      kernels::make_hash_family(database.dimension(), options.tables, options.bits, options.rotations, options.seed);
  tables->rows = database.rows();
  auto memory = std::make_shared<std::vector<TableMemory>>(static_cast<std::size_t>(options.tables));
  const int group = std::max(kTablesAtOnce, num_threads());
  for (int first = 0; first < options.tables; first += group) {
    const int count = std::min(group, options.tables - first);
    const std::vector<std::vector<std::int32_t>> buckets = hash_rows(database, tables->family, first, count);
    parallel_for(count, [&](std::int64_t t) {
      (*memory)[static_cast<std::size_t>(first + t)] = compact(buckets[static_cast<std::size_t>(t)], options.bits);
    });
  }
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

std::vector<std::vector<std::int64_t>> LshIndex::candidates_of(const Tensor& queries) const {
  const TraceRange range("hash candidates");
  constexpr std::int64_t kMostPerTask = 32;
  const Tables& t = *tables_;
  const std::int64_t m = queries.dim(0);
  const std::int64_t probes = std::max(t.options.probes, t.options.tables);
  const kernels::ProbeSequence sequence{queries, &t.family, Tensor({m, probes}, DType::i32, queries.device()),
                                        Tensor({m, probes}, DType::i32, queries.device())};
  kernels::probe_sequence(sequence);
  const Tensor probe_tables = sequence.tables.to(Device{});
  const Tensor probe_buckets = sequence.buckets.to(Device{});
  const auto most = static_cast<std::size_t>(t.options.max_entries > 0 ? t.options.max_entries : INT32_MAX);
  CandidateRows found(static_cast<std::size_t>(m));
  parallel_ranges(m, even_grain(m, kMostPerTask), [&](std::int64_t begin, std::int64_t end) {
    Candidates rows(t.rows);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t* table = probe_tables.data<std::int32_t>() + i * probes;
      const std::int32_t* bucket = probe_buckets.data<std::int32_t>() + i * probes;
      for (std::int64_t p = 0; p < probes && table[p] >= 0 && rows.entries() < most; ++p) {
        rows.add(t.tables[static_cast<std::size_t>(table[p])].bucket(bucket[p]));
      }
      found[static_cast<std::size_t>(i)] = rows.take(static_cast<std::size_t>(std::max(0, t.options.max_candidates)));
    }
  });
  return found;
}

Neighbours LshIndex::search(const Database& database, const Tensor& queries, int k, double* candidates) const {
  const TraceRange range("hash search");
  constexpr std::int64_t kBatch = 256;  // queries whose candidates are held in memory together
  check(database.rows() == tables_->rows && database.dimension() == queries.dim(1), "LSH tables of ", tables_->rows,
        " fingerprints do not belong to this database");
  const std::int64_t m = queries.dim(0);
  const Neighbours found{Tensor({m, k}, DType::i64), Tensor({m, k})};
  kernels::topk_begin({queries, {}, 0, found.scores, found.indices});
  double compared = 0;
  for (std::int64_t begin = 0; begin < m; begin += kBatch) {
    const std::int64_t end = std::min(m, begin + kBatch);
    const Tensor batch = queries.slice(begin, end).to(database.device());
    const CandidateRows rows = candidates_of(batch);
    std::vector<std::size_t> begins(rows.size(), 0);
    for (const Block& block : database.blocks()) {
      compare_in_block(block, batch, rows, begins, {found.indices.slice(begin, end), found.scores.slice(begin, end)});
    }
    for (const std::vector<std::int64_t>& of_query : rows) {
      compared += static_cast<double>(of_query.size());
    }
  }
  if (candidates != nullptr) {
    *candidates = m > 0 ? compared / static_cast<double>(m) : 0;
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
